"""The leaves behind an entry of a mix, and how they divide what it is given."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd, isqrt

from manifests.errors import ConfigError
from manifests.resolve.apportion import over_one
from manifests.resolve.setting import Setting
from manifests.resolve.types import Body, source_of
from manifests.resolve.usage import used
from manifests.spec.types import Cursor, Entry, Layout, PhaseSpec, Strata, Unit

_ROOT_BITS = 64
"""Binary places of the square roots that divide a source, twice over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A leaf that is asked for something."""

    name: str
    body: Body
    cursor: Cursor


def portions(setting: Setting, phase: PhaseSpec, entry: Entry, unit: Unit) -> dict[Leaf, int]:
    """Parts of whatever an entry is given, in a unit; none of them zero.

    Raises:
        ConfigError: There is nothing that could be trained on.
    """
    if entry.recall:
        found = _recalled(setting, phase, entry, unit)
        gone = f"nothing that {entry.recall} trained on is there any more"
    else:
        found = _strata(setting, phase, entry, unit)
        gone = f"source {entry.name} has no tokens, or none any more"
    kept = {leaf: portion for leaf, portion in found.items() if portion and leaf.body.tokens}
    if not kept and not phase.allow_zero:
        raise ConfigError(
            f"phase {phase.name}: {gone}; take {entry.name} out of the mix, or set allow_zero ="
            " true to go without it"
        )
    values, _ = over_one(list(kept.values()))
    shrink = gcd(*values)
    return dict(zip(kept, (value // shrink for value in values), strict=True))


def _strata(setting: Setting, phase: PhaseSpec, entry: Entry, unit: Unit) -> dict[Leaf, Fraction]:
    supplies, strata = setting.version.supplies, setting.mixture.source(entry.name).strata
    found = {}
    for name in supplies.leaves(entry.name):
        body = supplies.of(name, entry.layout or phase.layout, phase.sequence_length).body
        size = body.tokens if unit is Unit.TOKENS else body.samples
        leaf = Leaf(name=name, body=body, cursor=entry.cursor)
        found[leaf] = _size(strata, name.partition("/")[2], size)
    return found


def _size(strata: Strata | None, stratum: str, size: int) -> Fraction:
    """What a stratum of this size counts for, by its rule."""
    match strata.rule if strata else "proportional":
        case "equal":
            return Fraction(1)
        case "sqrt":
            return Fraction(isqrt(size << _ROOT_BITS))
        case "weights" if strata:
            return size * strata.factor(stratum)
        case _:
            return Fraction(size)


def _recalled(setting: Setting, phase: PhaseSpec, entry: Entry, unit: Unit) -> dict[Leaf, Fraction]:
    """By what the earlier phase trained on, under the layouts that it had at its end."""
    supplies, earlier = setting.version.supplies, setting.done[entry.recall]
    had = used(earlier.segments)
    layouts: dict[str, Layout] = {
        supply.leaf: supply.body.layout for one in earlier.segments for supply in one.supplies
    }
    there = {name for source in set(map(source_of, had)) for name in supplies.leaves(source)}
    found = {}
    for name in sorted(there & had.keys()):
        layout = entry.layout or layouts[name]
        body = supplies.of(name, layout, phase.sequence_length).body
        # Of a part of an epoch, tokens are a mean: whole ones are as true as fractions.
        size = ceil(had[name].tokens) if unit is Unit.TOKENS else had[name].samples
        found[Leaf(name=name, body=body, cursor=entry.cursor)] = Fraction(size)
    return found
