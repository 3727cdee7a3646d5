"""Two specs that both come from a third, as one: merged by what their values are, not as text.

Everything that has a name is compared under it, so that where a table stands in its file means
nothing. Lists that mean sets are united: what one side added is in, what one took out is out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from manifests.fingerprint import canonical_json
from manifests.spec.read import parse_mixture
from manifests.spec.types import Mixture
from manifests.spec.write import Plain, as_written, toml

_SETS = ("from", "bucket", "generator", "source", "licence", "lang", "form")
"""Lists in which order means nothing."""
_WHOLE = ("tokenizer", "strata")
"""Tables that change as one: their values mean nothing without each other."""


class Prefer(StrEnum):
    """Who is right where both sides have changed one thing."""

    NOBODY = ""
    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that both sides have changed, each in its way."""

    what: str
    """Where: a path in the spec, or a shard of a leaf."""
    base: object
    """None: it was not there; likewise below."""
    ours: object
    theirs: object


class _Missing:
    """Stands for a value that is not there."""

    def __repr__(self) -> str:
        return "nothing"


_NONE = _Missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedSpec:
    """What became of three specs."""

    mixture: Mixture | None
    """None where something is in conflict and nobody is preferred."""
    text: str
    conflicts: tuple[Difference, ...]


def merge_specs(
    base: Mixture, ours: Mixture, theirs: Mixture, name: str, prefer: Prefer = Prefer.NOBODY
) -> MergedSpec:
    """One spec of this name, with what either side changed since the base.

    Raises:
        ConfigError: Each change is fine by itself, but together they make no mixture.
    """
    b, o, t = (_by_name(as_written(mixture)) for mixture in (base, ours, theirs))
    merging = _Merging(prefer)
    written = _as_file(merging.tables(b, o, t, ()), name)
    conflicts = tuple(merging.conflicts)
    if conflicts and prefer is Prefer.NOBODY:
        return MergedSpec(mixture=None, text="", conflicts=conflicts)
    mixture = parse_mixture(toml(written), "the merged spec")
    return MergedSpec(mixture=mixture, text=toml(as_written(mixture)), conflicts=conflicts)


def _by_name(tables: Plain) -> Plain:
    """Changes under where they happen, entries of mixes always as tables, removals apart."""
    found = {key: value for key, value in tables.items() if key not in ("name", "schema")}
    for phase in found["phases"].values():
        phase["mix"] = _entries(phase["mix"])
    changes: Plain = {}
    for change in found.pop("changes", []):
        when = f"at_step {change['at_step']}" if "at_step" in change else f"at {change['at']}"
        if "mix" in change:
            change = {**change, "mix": _entries(change["mix"])}
        changes[f"{change['phase']} {when}"] = change
    return {"remove": [], **found, "changes": changes}


def _entries(mix: Plain) -> Plain:
    return {name: e if isinstance(e, dict) else {"share": e} for name, e in mix.items()}


def _as_file(tables: Plain, name: str) -> Plain:
    phases = tables["phases"]

    def place(change: Plain) -> tuple[str, int]:
        phase = phases.get(change["phase"], {})
        size = int(phase.get("global_batch", 1)) * int(phase.get("sequence_length", 1))
        return change["phase"], change["at"] if "at" in change else change["at_step"] * size

    return {**tables, "name": name, "changes": sorted(tables["changes"].values(), key=place)} | {
        "schema": "scriptorium.mixture/1"
    }


class _Merging:
    """Tables as one, and what was in conflict on the way."""

    def __init__(self, prefer: Prefer) -> None:
        self._prefer = prefer
        self.conflicts: list[Difference] = []

    def tables(self, base: Plain, ours: Plain, theirs: Plain, path: tuple[str, ...]) -> Plain:
        found = {}
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            b, o, t = (side.get(key, _NONE) for side in (base, ours, theirs))
            value = self._value(b, o, t, (*path, key))
            if value is not _NONE:
                found[key] = value
        return found

    def _value(self, base: Any, ours: Any, theirs: Any, path: tuple[str, ...]) -> Any:
        if path[-1] == "remove":  # what was taken down anywhere stays so
            return _united(_list(ours), _list(theirs))
        if ours == theirs or theirs == base:
            return ours
        if ours == base:
            return theirs
        below = base if base is not _NONE else {}
        if path[-1] not in _WHOLE and all(isinstance(one, dict) for one in (below, ours, theirs)):
            return self.tables(below, ours, theirs, path)
        if path[-1] in _SETS and isinstance(ours, list) and isinstance(theirs, list):
            gone = [item for item in _list(base) if item not in ours or item not in theirs]
            return [item for item in _united(ours, theirs) if item not in gone]
        b, o, t = (None if side is _NONE else side for side in (base, ours, theirs))
        self.conflicts.append(Difference(what=".".join(path), base=b, ours=o, theirs=t))
        return theirs if self._prefer is Prefer.THEIRS else ours


def _list(value: Any) -> list[Any]:
    return [] if value is _NONE else value


def _united(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    found = {canonical_json(item): item for item in (*one, *other)}
    return [found[key] for key in sorted(found)]
