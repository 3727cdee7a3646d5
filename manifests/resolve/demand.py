"""What the entries of a mix ask of each leaf: an exact amount, or a weight in what is left.

Shares of tokens become samples by each leaf's own tokens per sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.errors import ConfigError
from manifests.resolve.portions import Leaf, portions
from manifests.resolve.setting import Setting
from manifests.resolve.usage import Usage
from manifests.spec.types import Entry, PhaseSpec, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one leaf is asked for; in samples."""

    leaf: Leaf
    amount: Fraction = Fraction()
    """Asked for outright, by tokens or epochs."""
    weight: Fraction = Fraction()
    """Part in the samples that are left when all amounts are given."""
    in_tokens: bool = False
    """Whether the amount, or some of it, was given in tokens."""

    def less(self, had: Usage, left: Fraction) -> "Demand":
        """What is still asked for by a mix under which the leaf already had something.

        Of an amount, what was had is gone. If the leaf has a weight too, the two cannot be told
        apart; then the part `left` of the amount remains, which is that of the mix's plan.
        """
        body = self.leaf.body
        if self.weight:
            return replace(self, amount=self.amount * left)
        if self.in_tokens:
            samples = had.tokens * Fraction(body.samples, body.tokens)
        else:
            samples = had.epochs * body.samples
        return replace(self, amount=max(Fraction(), self.amount - samples))


def demands(setting: Setting, phase: PhaseSpec) -> list[Demand]:
    """What a phase's mix asks of each leaf, by leaf name.

    Raises:
        ConfigError: A source has nothing, or a leaf comes in twice in ways that do not add up.
    """
    found: dict[str, Demand] = {}
    for entry in sorted(phase.mix, key=lambda entry: entry.name):
        for demand in _of_entry(setting, phase, entry):
            same = found.get(demand.leaf.name)
            found[demand.leaf.name] = _together(phase, same, demand) if same else demand
    return [found[name] for name in sorted(found)]


def remaining(asked: Sequence[Demand], had: Mapping[str, Usage], left: Fraction) -> list[Demand]:
    """The demands of a mix, less what leaves had under it; `left` as in `Demand.less`."""
    return [
        demand.less(had[demand.leaf.name], left) if demand.leaf.name in had else demand
        for demand in asked
    ]


def _together(phase: PhaseSpec, one: Demand, other: Demand) -> Demand:
    if one.leaf != other.leaf:
        raise ConfigError(
            f"phase {phase.name}: source {one.leaf.name} comes in by two entries with different"
            " layouts or cursors; give both entries the same"
        )
    return Demand(
        leaf=one.leaf,
        amount=one.amount + other.amount,
        weight=one.weight + other.weight,
        in_tokens=one.in_tokens or other.in_tokens,
    )


def _of_entry(setting: Setting, phase: PhaseSpec, entry: Entry) -> Iterator[Demand]:
    relative = entry.share if entry.share is not None else entry.weight
    unit = Unit.TOKENS if relative is None else phase.unit
    found = portions(setting, phase, entry, unit)
    whole = sum(found.values())
    wanted = Fraction(entry.tokens or 0) if relative is None else relative
    if entry.epochs is not None:
        wanted = entry.epochs * sum(leaf.body.tokens for leaf in found)
    for leaf, portion in found.items():
        value = wanted * Fraction(portion, whole)
        if unit is Unit.TOKENS:
            value *= Fraction(leaf.body.samples, leaf.body.tokens)
        if relative is None:
            yield Demand(leaf=leaf, amount=value, in_tokens=entry.tokens is not None)
        else:
            yield Demand(leaf=leaf, weight=value)
