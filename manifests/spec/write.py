"""A mixture as the TOML that a person would write: the inverse of `manifests.spec.read`.

`as_written` gives it as plain tables, lists and values, keyed by name wherever the file is; `toml`
writes such tables as text. What is as by default is left out.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from manifests.spec.types import (
    SCHEMA,
    Change,
    Condition,
    Cursor,
    Entry,
    Mixture,
    PhaseSpec,
    Removal,
    SourceSpec,
    Strata,
)

Plain = dict[str, Any]
_DECIMALS = 24
"""That a text of a number may have after its point."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_written(mixture: Mixture) -> Plain:
    """The tables of the file, in the order in which a person would write them."""
    tokenizer = mixture.tokenizer
    return {
        "schema": SCHEMA,
        "name": mixture.name,
        "seed": mixture.seed,
        **_given(remove=[_removal(removal) for removal in mixture.remove]),
        "tokenizer": {"name": tokenizer.name, "end_of_document": tokenizer.end_of_document},
        "sources": {source.name: _source(source) for source in mixture.sources},
        "phases": {phase.name: _phase(phase) for phase in mixture.phases},
        **_given(changes=[_change(change) for change in mixture.changes]),
    }


def toml(tables: Plain) -> str:
    """The tables as text; `manifests.spec.read.parse_mixture` reads it."""
    named = {"tokenizer", "sources", "phases", "changes"}
    lines = [_line(key, value) for key, value in tables.items() if key not in named]
    lines += ["", "[tokenizer]", *_lines(tables["tokenizer"])]
    for kind in ("sources", "phases"):
        for name, table in tables[kind].items():
            lines += ["", *_table(f"{kind}.{_key(name)}", table)]
    for change in tables.get("changes", []):
        lines += ["", "[[changes]]", *_lines(change)]
    return "\n".join(lines) + "\n"


def _table(path: str, table: Plain) -> list[str]:
    """A table, and those of its tables that deserve a heading."""
    below = [key for key in table if key in ("mix", "train", "where", "except")]
    lines = [f"[{path}]", *_lines({key: table[key] for key in table if key not in below})]
    for key in below:
        lines += ["", f"[{path}.{key}]", *_lines(table[key])]
    return lines


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [_line(key, value) for key, value in table.items()]


def _line(key: str, value: object) -> str:
    return f"{_key(key)} = {_value(value)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case str():
            return _text(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return f"{{ {', '.join(_lines(value))} }}" if value else "{}"
    return str(value)


def _given(**values: object) -> Plain:
    """Those that say something."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _removal(removal: Removal) -> Plain:
    return _given(
        records=list(removal.records),
        source=removal.source,
        report=removal.report,
    )


def _source(source: SourceSpec) -> Plain:
    return {
        "from": list(source.steps),
        **_given(
            where=_conditions(source.where),
            strata=_strata(source.strata) if source.strata else None,
            max_epochs=_ratio(source.max_epochs),
            partial=source.partial or None,
        ),
        **({"except": _conditions(source.without)} if source.without else {}),
    }


def _conditions(conditions: Iterable[Condition]) -> Plain:
    found: Plain = {}
    for condition in conditions:
        test: object = list(condition.any_of)
        if not condition.any_of:
            test = _given(min=condition.low, max=condition.high)
        if condition.column.startswith("scores."):
            scores = found.setdefault("scores", {})
            scores[condition.column.removeprefix("scores.")] = test
        else:
            found[condition.column] = test
    return found


def _strata(strata: Strata) -> Plain:
    weights: object = None if strata.rule == "proportional" else strata.rule
    if strata.rule == "weights":
        factors = dict(strata.weights)
        weights = {name: _ratio(factor) for name, factor in factors.items()}
        if strata.bounds:
            weights = [_ratio(factors[name]) for name in strata.numbered]
    return {"by": strata.by, **_given(bounds=list(strata.bounds), weights=weights)}


def _phase(phase: PhaseSpec) -> Plain:
    defaults = {
        field.name: field.default
        for field in fields(PhaseSpec)
        if field.name not in ("name", "mix")
    }
    found: Plain = {}
    for name, default in defaults.items():
        value = getattr(phase, name)
        if name != "train" and value != default:
            found[name] = value if isinstance(value, int) else str(value)
    return {**found, "mix": _mix(phase.mix), **_given(train=dict(phase.train))}


def _mix(mix: Iterable[Entry]) -> Plain:
    return {entry.name: _entry(entry) for entry in mix}


def _entry(entry: Entry) -> object:
    amount = _given(
        recall=entry.recall,
        share=_share(entry.share),
        weight=_ratio(entry.weight),
        tokens=entry.tokens,
        epochs=_ratio(entry.epochs),
        layout=None if entry.layout is None else str(entry.layout),
        cursor=None if entry.cursor is Cursor.CONTINUE else str(entry.cursor),
    )
    return amount["share"] if amount.keys() == {"share"} else amount


def _change(change: Change) -> Plain:
    return {
        "phase": change.phase,
        **_given(
            at=change.tokens,
            at_step=change.step,
            mix=_mix(change.mix),
            tokens=change.budget,
            global_batch=change.global_batch,
            remove=[_removal(removal) for removal in change.remove],
        ),
    }


def _share(share: Fraction | None) -> str | None:
    if share is None:
        return None
    hundredths = _decimal(share * 100)
    return f"{share.numerator}/{share.denominator}" if hundredths is None else f"{hundredths}%"


def _ratio(ratio: Fraction | None) -> object:
    if ratio is None or ratio.denominator == 1:
        return None if ratio is None else ratio.numerator
    exact = _decimal(ratio)
    return f"{ratio.numerator}/{ratio.denominator}" if exact is None else Decimal(exact)


def _decimal(number: Fraction) -> str | None:
    """All digits of a number; None when they do not end, or are too many to be read again."""
    scaled = number * 10**_DECIMALS
    if scaled.denominator != 1:
        return None
    with localcontext(prec=100):
        digits = f"{Decimal(int(scaled)).scaleb(-_DECIMALS):f}"
    return digits.rstrip("0").rstrip(".")
