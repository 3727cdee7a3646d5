"""Where a leaf begins in a segment: on from where it was, or with what is left of an old epoch.

The rule: no sample comes twice before its epoch is over, as long as windows stay what they are. A
changed table finishes the begun epoch on its old shards (the head) and then goes over to the new
ones. Other windows (length or layout) cannot go on within an epoch: they begin a fresh one.
"""

from dataclasses import dataclass

from manifests.resolve.portions import Leaf
from manifests.resolve.state import Progress, begun
from manifests.resolve.supplies import Holes
from manifests.resolve.types import Body, Head
from manifests.spec.types import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The beginning of a supply, all but its quota."""

    body: Body
    cursor: int = 0
    first_epoch: int = 0
    head: Head | None = None
    fresh: bool = False
    """Whether the begun epoch, if there is one, is given up for a whole one."""


def start(leaf: Leaf, length: int, was: Progress | None, holes: Holes | None) -> Start:
    """Where a leaf begins that was left at `was`; `holes` where tables may have changed."""
    if was is None:
        return Start(body=leaf.body)
    if leaf.cursor is Cursor.RESTART:
        return Start(body=leaf.body, fresh=True)
    same_length = was.sequence_length == length
    if was.body == leaf.body and same_length:
        return Start(body=was.body, cursor=was.cursor, first_epoch=was.first_epoch, head=was.head)
    if not same_length or was.body.layout is not leaf.body.layout:
        return Start(body=leaf.body, first_epoch=was.next_epoch, fresh=True)
    if holes is None:
        raise ValueError(f"{leaf.name}: another table, and nobody knows what is gone of the old")
    return Start(body=leaf.body, first_epoch=was.next_epoch, head=_rest(leaf.name, was, holes))


def _rest(leaf: str, was: Progress, holes: Holes) -> Head | None:
    """What is left of the begun epoch, without what is gone."""
    now = begun(was)
    if now is None:
        return None
    rank = holes.rank(was.head, 0) if was.head else now.trained
    digest, gone = holes(leaf, now.body, now.epoch, rank, was.sequence_length)
    count = now.body.samples - rank - gone
    if not count:
        return None
    return Head(body=now.body, epoch=now.epoch, start=rank, holes=digest, count=count)
