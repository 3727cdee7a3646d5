"""Valid mixtures of every shape, as plain values whose spelling is still open."""

import random
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from manifests.records import Bucket

NAMES = ("web", "code", "a.b", "x-1", "long_one", "s0")
COLUMNS = ("tokens", "rounds", "scores.text.words@1", "scores.x y")


@dataclass(frozen=True)
class Amount:
    """An exact number, not yet written."""

    value: Fraction
    kind: str


def spelt(value: Any, chance: random.Random) -> Any:
    """The same meaning, written in one of the ways that there are, keys in any order."""
    match value:
        case Amount(kind="tokens"):
            count = int(value.value)
            ways: list[Any] = [count, f"{count}", f"{count} tokens"]
            ways += [f"{count // 1000}K", f"{count // 1000} K tokens"] if count % 1000 == 0 else []
            ways += [Decimal(count).scaleb(-6).to_eng_string() + "M"] if count > 10**6 else []
            return chance.choice(ways)
        case Amount():
            exact = value.value
            ways = [f"{exact.numerator * 3}/{exact.denominator * 3}"]
            if (exact * 10**9).denominator == 1:
                ways.append(Decimal(int(exact * 10**9)).scaleb(-9))
                percent = f"{Decimal(int(exact * 10**9)).scaleb(-7):f}%"
                ways += [percent] if value.kind == "share" else [f"{ways[-1]:f}"]
            return chance.choice(ways)
        case dict():
            keys = list(value)
            chance.shuffle(keys)
            return {key: spelt(value[key], chance) for key in keys}
        case list():
            return [spelt(item, chance) for item in value]
        case tuple():  # a set of texts
            items = [*value, chance.choice(value)]
            chance.shuffle(items)
            return value[0] if len(set(value)) == 1 and chance.random() < 0.5 else items
    return value


def _ratio(low: int = 1) -> st.SearchStrategy[Amount]:
    plain = st.builds(Fraction, st.integers(low, 500), st.sampled_from([1, 2, 3, 7, 10]))
    return plain.map(lambda value: Amount(value, "ratio"))


_words = st.lists(st.text("abc*@1 é", min_size=1, max_size=5), min_size=1, max_size=3).map(tuple)
_range = st.builds(
    lambda low, extra, keys: {
        k: v for k, v in {"min": low, "max": low + extra}.items() if k in keys
    },
    st.integers(-5, 5000),
    st.integers(0, 5000),
    st.sampled_from([("min",), ("max",), ("min", "max")]),
)
_conditions = st.fixed_dictionaries(
    {},
    optional={
        "bucket": st.lists(st.sampled_from([*map(str, Bucket), "*"]), min_size=1).map(tuple),
        "generator": _words,
        "lang": _words,
        "tokens": _range,
        "rounds": _range,
        "scores": st.dictionaries(st.sampled_from(["text.words@1", "x y"]), _range),
    },
)


@st.composite
def _strata(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        bounds = sorted(draw(st.sets(st.integers(-9, 10**6), min_size=1, max_size=4)))
        found: dict[str, Any] = {"by": draw(st.sampled_from(COLUMNS)), "bounds": bounds}
        factors: Any = draw(st.lists(_ratio(), min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    else:
        found = {"by": draw(st.sampled_from(["bucket", "generator", "lang"]))}
        factors = draw(st.dictionaries(st.text("ab*@é", min_size=1), _ratio(), min_size=1))
    weights = draw(st.sampled_from([None, "sqrt", "equal", "proportional", factors]))
    return found if weights is None else {**found, "weights": weights}


_steps = st.sampled_from(["web_screened@1", "*", "a*@2", "b@1/ab12", "c"])
_source = st.fixed_dictionaries(
    {"from": st.lists(_steps, min_size=1, max_size=3).map(tuple)},
    optional={
        "where": _conditions,
        "except": _conditions,
        "strata": _strata(),
        "max_epochs": _ratio(),
        "partial": st.booleans(),
    },
)
_facts = st.fixed_dictionaries(
    {},
    optional={
        "rope_base": st.sampled_from([10_000, Decimal("250000.5")]),
        "learning_rate": st.just(Decimal("3e-4")),
        "mask": st.sampled_from(["document", "causal"]),
        "warmup_steps": st.integers(0, 10**6),
        "recompute": st.booleans(),
        "note": st.text("abc é\"'\\", min_size=1),
    },
)
_options = {
    "layout": st.sampled_from(["stream", "document", "packed"]),
    "cursor": st.sampled_from(["continue", "restart"]),
}
_whole_phase = {
    "layout": _options["layout"],
    "unit": st.sampled_from(["tokens", "samples"]),
    "round": st.sampled_from(["up", "down", "nearest"]),
    "on_cap": st.sampled_from(["error", "redistribute", "shrink"]),
    "allow_zero": st.booleans(),
    "allow_overlap": st.booleans(),
    "train": _facts,
}
_tokens = st.integers(1, 10**6).map(lambda n: Amount(Fraction(n), "tokens"))


@st.composite
def _mix(draw: st.DrawFn, sources: list[str], earlier: list[str], kind: str) -> dict[str, Any]:
    """Entries of one kind; `rest` is some absolute ones and a weight."""
    who = {name: dict[str, Any]() for name in sources}
    if earlier and draw(st.booleans()):
        who["recalled"] = {"recall": draw(st.sampled_from(earlier))}
    parts = draw(st.lists(st.integers(1, 60), min_size=len(who), max_size=len(who)))
    for number, entry in enumerate(who.values()):
        if kind == "shares":
            entry["share"] = Amount(Fraction(parts[number], sum(parts)), "share")
        elif kind == "rest" and number == 0:
            entry["weight"] = draw(_ratio())
        else:
            choice = draw(st.sampled_from(["tokens", "epochs"]))
            entry[choice] = draw(_tokens if choice == "tokens" else _ratio())
        entry |= draw(st.fixed_dictionaries({}, optional=_options))
    return who


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A whole valid spec; `spelt` writes it."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    phases: dict[str, Any] = {}
    chain: list[str] = []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["shares", "rest", "asked"]))
        phase = draw(st.fixed_dictionaries({}, optional=_whole_phase))
        budget = Amount(Fraction(draw(st.integers(10**7, 10**14))), "tokens")
        phase |= {} if kind == "asked" else {"tokens": budget}
        phase |= {"sequence_length": draw(st.integers(1, 16384))}
        phase |= {"global_batch": draw(st.integers(1, 6000)), "mix": draw(_mix(names, chain, kind))}
        phase |= {"after": chain[-1]} if chain else {}
        chain.append(f"p{number}")
        phases[chain[-1]] = phase
    spec = {
        "schema": "scriptorium.mixture/1",
        "name": draw(st.sampled_from(NAMES)),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "tokenizer": {"name": "utf8-bytes@1", "end_of_document": 256},
        "sources": {name: draw(_source) for name in names},
        "phases": phases,
        "remove": draw(
            st.lists(
                st.fixed_dictionaries({"records": _words})
                | st.fixed_dictionaries({"report": st.just("ids.txt")}),
                max_size=2,
            )
        ),
    }
    if draw(st.booleans()):
        mix = draw(_mix(names, [], "rest"))
        phases["p0"]["tokens"] = Amount(Fraction(10**15), "tokens")
        if not any({"share", "weight"} & set(entry) for entry in phases["p0"]["mix"].values()):
            phases["p0"]["mix"][names[0]] = {"weight": draw(_ratio())}
        spec["changes"] = [{"phase": "p0", "at": draw(_tokens), "mix": mix}]
        spec["changes"] += [{"phase": "p0", "at_step": 10**6 + 1, "global_batch": 7}]
        phases["p0"] |= {"sequence_length": 4096, "global_batch": 1}
    for name, phase in phases.items():
        if phase.get("train", {}).get("mask") == "causal":
            changed = [change for change in spec.get("changes", ()) if change["phase"] == name]
            mixes = [one["mix"] for one in (phase, *changed) if "mix" in one]
            for table in (phase, *(entry for mix in mixes for entry in mix.values())):
                if table.get("layout") == "packed":  # its documents have to be attended alone
                    table["layout"] = "document"
    return spec
