"""How far a chain of phases has come with each leaf: what the next segment goes on from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.resolve.passes import Passes
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
    of_head: int
    """Samples of the head's epoch that were trained on, those before the head too."""
    next_epoch: int
    """The first epoch number that no segment has begun."""
    passes: Fraction
    """Epochs that were trained on, over all segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The epoch that a leaf is in the middle of."""

    body: Body
    epoch: int
    trained: int
    left: int
    """Samples that would still come."""


State = dict[str, Progress]
"""By leaf; a leaf that was never drawn from is not in it."""


def begun(was: Progress) -> Begun | None:
    """The epoch that has begun and is not over, None between two."""
    if was.head:
        head = was.head
        return Begun(body=head.body, epoch=head.epoch, trained=was.of_head, left=head.count)
    turn, trained = divmod(was.cursor, was.body.samples)
    if not trained:
        return None
    epoch, left = was.first_epoch + turn, was.body.samples - trained
    return Begun(body=was.body, epoch=epoch, trained=trained, left=left)


def after(state: State, segment: Segment, sequence_length: int) -> State:
    """The state when a segment is over."""
    given = [supply for supply in segment.supplies if supply.quota]
    return state | {
        supply.leaf: _advanced(state.get(supply.leaf), supply, sequence_length) for supply in given
    }


def _advanced(before: Progress | None, supply: Supply, length: int) -> Progress:
    head, of_head, taken = None, 0, 0
    if supply.head:
        taken = min(supply.quota, supply.head.count)
        left = supply.head.count - taken
        head = replace(supply.head, taken=supply.head.taken + taken, count=left) if left else None
        # Of a head's head, holes are before `start` too; what was trained on is known from before.
        earlier = before.of_head if before and before.head else supply.head.start
        of_head = earlier + taken if head else 0
    cursor = supply.cursor + supply.quota - taken
    unbegun = supply.first_epoch + -(-cursor // supply.body.samples)
    passes = Passes(body=supply.body, head=supply.head).epochs(Fraction(supply.quota))
    return Progress(
        body=supply.body,
        sequence_length=length,
        cursor=cursor,
        first_epoch=supply.first_epoch,
        head=head,
        of_head=of_head,
        next_epoch=max(before.next_epoch if before else 0, unbegun),
        passes=(before.passes if before else Fraction()) + passes,
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
