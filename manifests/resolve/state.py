"""How far a chain of phases has come with each leaf: what the next segment goes on from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.interleave import Interleave
from manifests.resolve.types import Body, Head, Phase, Segment, Supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One leaf, after some segments."""

    body: Body
    sequence_length: int
    cursor: int
    first_epoch: int
    head: Head | None
    """What is left of it; None when nothing is."""
    next_epoch: int
    """The first epoch number that no segment has begun."""
    exposure: Fraction
    """Epochs that were trained on, over all segments."""


State = dict[str, Progress]
"""By leaf; a leaf that was never drawn from is not in it."""


def consumed(segment: Segment, position: int) -> list[int]:
    """Samples of each supply before a step's first position."""
    tree = Interleave([supply.quota for supply in segment.supplies])
    return [int(count) for count in tree.counts(position - segment.start)]


def after(state: State, segment: Segment, sequence_length: int) -> State:
    """The state when a segment, as far as its stop, is over."""
    found = dict(state)
    counts = consumed(segment, segment.stop)
    for supply, count in zip(segment.supplies, counts, strict=True):
        if count:
            found[supply.leaf] = _advanced(state.get(supply.leaf), supply, count, sequence_length)
    return found


def _advanced(before: Progress | None, supply: Supply, count: int, length: int) -> Progress:
    head, of_head = supply.head, 0
    if head:
        of_head = min(count, head.count)
        left = head.count - of_head
        head = replace(head, taken=head.taken + of_head, count=left) if left else None
    cursor = supply.cursor + count - of_head
    begun = supply.first_epoch - -cursor // supply.body.samples
    exposure = Fraction(count - of_head, supply.body.samples)
    if supply.head:
        exposure += Fraction(of_head, supply.head.body.samples)
    return Progress(
        body=supply.body,
        sequence_length=length,
        cursor=cursor,
        first_epoch=supply.first_epoch,
        head=head,
        next_epoch=max(before.next_epoch if before else 0, begun),
        exposure=(before.exposure if before else Fraction()) + exposure,
    )


def chain_to(phases: Iterable[Phase], name: str) -> list[Phase]:
    """The phases that lead to this one, the first first, itself the last; none for no name."""
    by_name = {phase.name: phase for phase in phases}
    chain: list[Phase] = []
    while name:
        chain.insert(0, by_name[name])
        name = by_name[name].after
    return chain


def state_after(chain: Sequence[Phase]) -> State:
    """The state when these phases, one after the other, are over."""
    state: State = {}
    for phase in chain:
        for segment in phase.segments:
            state = after(state, segment, phase.sequence_length)
    return state
