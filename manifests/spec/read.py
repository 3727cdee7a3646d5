"""From the TOML that a person writes to a `Mixture`, or one line that says what to change.

This module reads shapes; what must hold between entries is in `manifests.spec.check`. Order in
the file means nothing, so sources and entries are sorted by name and each phase comes after the one
that it follows: specs of equal meaning become equal mixtures.
"""

import tomllib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from manifests.errors import ConfigError
from manifests.spec import keys
from manifests.spec.check import check, in_order
from manifests.spec.facts import TRAIN, read_facts
from manifests.spec.form import NAME, TEXT, Place, Table, entries, parsed
from manifests.spec.quantities import share, shown
from manifests.spec.strata import read_strata
from manifests.spec.types import (
    Change,
    Condition,
    Cursor,
    Entry,
    Layout,
    Mixture,
    OnCap,
    PhaseSpec,
    Removal,
    Rounding,
    SourceSpec,
    TokenizerName,
    Unit,
)


def read_mixture(path: Path) -> tuple[Mixture, str]:
    """The mixture in this file, and its text as it was written.

    Raises:
        ConfigError: It cannot be read, is not TOML in UTF-8, or is no mixture.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a mixture's TOML") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; give the TOML file in it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 text"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason})") from error
    return parse_mixture(text, str(path)), text


def parse_mixture(text: str, where: str) -> Mixture:
    """The mixture in this TOML; `where` names it in errors.

    Raises:
        ConfigError: It is not TOML, or no mixture.
    """
    place = Place(where)
    root = Table(_toml(text, where), keys.MIXTURE, place)
    root.need(keys.MIXTURE_SCHEMA)
    tokenizer = Table(root.need(keys.TOKENIZER), keys.TOKENIZERS, place.at("tokenizer"))
    mixture = Mixture(
        name=root.need(keys.NAME_OF_ALL),
        seed=root.need(keys.SEED),
        tokenizer=TokenizerName(
            name=tokenizer.need(keys.TOKENIZER_NAME),
            end_of_document=tokenizer.need(keys.END_OF_DOCUMENT),
        ),
        sources=tuple(
            _source(name, value, place.at("sources", name))
            for name, value in sorted(root.need(keys.SOURCES).items())
        ),
        phases=in_order(
            [
                _phase(name, value, place.at("phases", name))
                for name, value in sorted(root.need(keys.PHASES).items())
            ],
            place,
        ),
        remove=_removals(root.get(keys.REMOVE), place.at("remove")),
        changes=tuple(
            _change(value, place.at("changes", number))
            for number, value in enumerate(root.get(keys.CHANGES) or [], 1)
        ),
    )
    check(mixture, place)
    order = [phase.name for phase in mixture.phases]
    # Of one phase they stay as written: each begins after the one before.
    changes = sorted(mixture.changes, key=lambda change: order.index(change.phase))
    return replace(mixture, changes=tuple(changes))


def _toml(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError) as error:
        raise ConfigError(" ".join(f"{where}: not TOML: {error}".split())) from error
    except RecursionError as error:
        raise ConfigError(f"{where}: not a mixture: nested too deep to be read") from error


def _named(name: str, place: Place) -> str:
    return parsed(NAME, name, place)


def _source(name: str, value: object, place: Place) -> SourceSpec:
    table = Table(value, keys.SOURCE, place)
    strata = table.get(keys.STRATA)
    return SourceSpec(
        name=_named(name, place),
        steps=table.need(keys.FROM),
        where=_conditions(table.get(keys.WHERE), place.at("where")),
        without=_conditions(table.get(keys.EXCEPT), place.at("except")),
        strata=None if strata is None else read_strata(strata, place.at("strata")),
        max_epochs=table.get(keys.MAX_EPOCHS),
        partial=table.get(keys.PARTIAL) or False,
    )


def _conditions(value: object, place: Place) -> tuple[Condition, ...]:
    """By column."""
    if value is None:
        return ()
    for name in entries(value, place):
        if name.startswith("scores."):
            score = shown(name.removeprefix("scores."))
            raise place.error(f"scores stand in a table of their own: scores = {{ {score} = ... }}")
    table = Table(value, keys.CONDITIONS, place)
    found = [
        Condition(column=key.name, any_of=table.need(key))
        for key in keys.WORDS
        if table.given([key])
    ]
    ranges = {key.name: table.need(key) for key in keys.NUMBERS if table.given([key])}
    found += [_range(name, bounds, place.at(name)) for name, bounds in ranges.items()]
    scores = place.at("scores")
    for name, bounds in entries(table.get(keys.SCORES) or {}, scores).items():
        column = f"scores.{parsed(TEXT, name, scores)}"
        found.append(_range(column, bounds, scores.at(name)))
    return tuple(sorted(found, key=lambda condition: condition.column))


def _range(column: str, value: object, place: Place) -> Condition:
    table = Table(value, keys.RANGE, place)
    low, high = table.get(keys.MIN), table.get(keys.MAX)
    if low is None and high is None:
        raise place.error("has no bound; write { min = 100 }, { max = 8192 } or both")
    if low is not None and high is not None and low > high:
        raise place.error("min is above max, so that nothing would pass; swap them")
    return Condition(column=column, low=low, high=high)


def _phase(name: str, value: object, place: Place) -> PhaseSpec:
    table = Table(value, keys.PHASE, place)
    facts = table.get(keys.TRAIN)
    return PhaseSpec(
        name=_named(name, place),
        after=table.get(keys.AFTER) or "",
        tokens=table.get(keys.BUDGET),
        sequence_length=table.need(keys.SEQUENCE_LENGTH),
        global_batch=table.need(keys.GLOBAL_BATCH),
        layout=table.get(keys.LAYOUT) or Layout.STREAM,
        unit=table.get(keys.UNIT) or Unit.TOKENS,
        round=table.get(keys.ROUND) or Rounding.UP,
        on_cap=table.get(keys.ON_CAP) or OnCap.ERROR,
        allow_zero=table.get(keys.ALLOW_ZERO) or False,
        allow_overlap=table.get(keys.ALLOW_OVERLAP) or False,
        mix=_mix(table.need(keys.MIX), place.at("mix")),
        train={} if facts is None else read_facts(Table(facts, TRAIN, place.at("train"))),
    )


def _mix(value: object, place: Place) -> tuple[Entry, ...]:
    """By name."""
    return tuple(
        _entry(name, amount, place.at(name))
        for name, amount in sorted(entries(value, place).items())
    )


def _entry(name: str, value: object, place: Place) -> Entry:
    _named(name, place)
    if not isinstance(value, dict):
        try:
            return Entry(name=name, share=share(value))
        except ValueError as error:
            raise place.error(f"{error}, or {{ weight = 3 }} for a part of the rest") from None
    table = Table(value, keys.ENTRY, place)
    amounts = table.given(keys.AMOUNT)
    if len(amounts) != 1:
        words = " and ".join(amounts) or "none of them"
        raise place.error(f"takes one of share, weight, tokens and epochs, and has {words}")
    return Entry(
        name=name,
        recall=table.get(keys.RECALL) or "",
        share=table.get(keys.ENTRY_SHARE),
        weight=table.get(keys.ENTRY_WEIGHT),
        tokens=table.get(keys.ENTRY_TOKENS),
        epochs=table.get(keys.ENTRY_EPOCHS),
        layout=table.get(keys.ENTRY_LAYOUT),
        cursor=table.get(keys.CURSOR) or Cursor.CONTINUE,
    )


def _removals(values: list[object] | None, place: Place) -> tuple[Removal, ...]:
    found = [_removal(value, place.at(number)) for number, value in enumerate(values or [], 1)]
    return tuple(sorted(set(found), key=lambda r: (r.records, r.source, r.report)))


def _removal(value: object, place: Place) -> Removal:
    table = Table(value, keys.REMOVAL, place)
    given = table.given(keys.REMOVAL)
    if len(given) != 1:
        raise place.error(
            f"takes one of records, source and report, and has {' and '.join(given) or 'none'};"
            " give each an entry of its own"
        )
    return Removal(
        records=table.get(keys.RECORDS) or (),
        source=table.get(keys.REMOVED_SOURCE) or "",
        report=table.get(keys.REPORT) or "",
    )


def _change(value: object, place: Place) -> Change:
    table = Table(value, keys.CHANGE, place)
    if len(table.given(keys.WHEN)) != 1:
        raise place.error('takes one of at = "6.2T tokens" and at_step = 1000')
    if not table.given(keys.WHAT):
        raise place.error("changes nothing; give it mix, tokens, global_batch or remove")
    mix = table.get(keys.NEW_MIX)
    return Change(
        phase=table.need(keys.CHANGED_PHASE),
        step=table.get(keys.AT_STEP),
        tokens=table.get(keys.AT),
        mix=() if mix is None else _mix(mix, place.at("mix")),
        budget=table.get(keys.NEW_BUDGET),
        global_batch=table.get(keys.NEW_BATCH),
        remove=_removals(table.get(keys.REMOVE_LATER), place.at("remove")),
    )
