"""What two manifests do not have in common, from the spec down to the first other sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from manifests.locate.contents import Contents
from manifests.locate.first import Walked, first_difference
from manifests.objects.manifest import Manifest
from manifests.resolve.types import ORDER, Phase
from manifests.resolve.usage import Usage, used
from manifests.views.shard_diff import LeafChange, VolumeChange, shard_changes
from manifests.views.spec_diff import SpecChange, spec_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What a leaf has in a phase."""

    samples: int
    share: Fraction
    """Of the phase's tokens."""
    epochs: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountChange:
    """A leaf with another amount than before."""

    leaf: str
    old: Amount | None
    """None: it was not in the mix."""
    new: Amount | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSize:
    """How long a phase is."""

    steps: int
    samples: int
    sequence_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChange:
    """A phase, be it the same or not."""

    name: str
    old: PhaseSize | None
    """None: there was no such phase."""
    new: PhaseSize | None
    amounts: tuple[AmountChange, ...]
    """By leaf; those that are the same are left out."""
    compared: bool
    """Whether the orders are: not if only one manifest has the phase, nor if one has another order
    function than this program."""
    position: int | None
    """The first that differs; None when none does, or they are not compared."""
    step: int | None
    """In which the new manifest has it; the old one, if the new one ends there."""

    @property
    def differs(self) -> bool:
        """Whether anything of it does."""
        return self.old != self.new or bool(self.amounts) or self.position is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Two manifests."""

    old: str
    """Digest."""
    new: str
    order: tuple[str, str] | None
    """The order functions, if they are two."""
    spec: tuple[SpecChange, ...]
    leaves: tuple[LeafChange, ...]
    composition: tuple[VolumeChange, ...]
    """Of all leaves together, in the shards."""
    phases: tuple[PhaseChange, ...]
    """All there are in either, those of the new one first."""

    @property
    def equal(self) -> bool:
        """Whether it is the same manifest."""
        return self.old == self.new


def diff(
    old: Manifest, new: Manifest, most: int | None = None, progress: Walked | None = None
) -> Diff:
    """What `new` has otherwise than `old`, with so many changed shards of every leaf.

    Raises:
        NotInStore: An object of one of them is not there.
        DataError: One is broken.
    """
    roots = (old.root, new.root)
    specs = [manifest.objects.get_json(manifest.root.spec) for manifest in (old, new)]
    leaves, composition = shard_changes(old, new, most)
    orders = (old.root.order, new.root.order)
    names = dict.fromkeys(phase.name for root in reversed(roots) for phase in root.phases)
    known = set(orders) == {ORDER}
    contents = (Contents(old), Contents(new)) if known else None
    return Diff(
        old=old.digest,
        new=new.digest,
        order=orders if orders[0] != orders[1] else None,
        spec=spec_changes(*specs),
        leaves=leaves,
        composition=composition,
        phases=tuple(_phase_change(old, new, name, contents, progress) for name in names),
    )


def _phase_change(
    old: Manifest,
    new: Manifest,
    name: str,
    contents: tuple[Contents, Contents] | None,
    progress: Walked | None,
) -> PhaseChange:
    before, after = (
        next((phase for phase in manifest.root.phases if phase.name == name), None)
        for manifest in (old, new)
    )
    position = step = None
    if before and after and contents:
        position = first_difference(*contents, name, progress)
        if position is not None:
            longer = after if position < after.samples else before
            step = _step_of(longer, position)
    return PhaseChange(
        name=name,
        old=_size(before),
        new=_size(after),
        amounts=tuple(_amount_changes(before, after)),
        compared=before is not None and after is not None and contents is not None,
        position=position,
        step=step,
    )


def _step_of(phase: Phase, position: int) -> int:
    segment = next(one for one in phase.segments if position < one.stop)
    return segment.first_step + (position - segment.start) // segment.global_batch


def _size(phase: Phase | None) -> PhaseSize | None:
    if phase is None:
        return None
    return PhaseSize(
        steps=phase.steps, samples=phase.samples, sequence_length=phase.sequence_length
    )


def _amount_changes(before: Phase | None, after: Phase | None) -> Iterator[AmountChange]:
    if before is None or after is None:
        return
    old, new = used(before.segments), used(after.segments)
    totals = [sum((one.tokens for one in side.values()), Fraction()) for side in (old, new)]
    for leaf in sorted(old.keys() | new.keys()):
        was, now = _amount(old.get(leaf), totals[0]), _amount(new.get(leaf), totals[1])
        if was != now:
            yield AmountChange(leaf=leaf, old=was, new=now)


def _amount(usage: Usage | None, total: Fraction) -> Amount | None:
    if usage is None:
        return None
    share = usage.tokens / total if total else Fraction()
    return Amount(samples=usage.samples, share=share, epochs=usage.epochs)
