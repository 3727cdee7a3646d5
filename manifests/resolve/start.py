"""Where a leaf begins in a segment: on from where it was, or with what is left of an old epoch.

The rule: no sample comes twice before its epoch is over, as long as windows stay what they are. A
changed table finishes the begun epoch on its old shards (the head) and then goes over to the new
ones. Other windows (length or layout) cannot go on within an epoch: they begin a fresh one.
"""

from dataclasses import dataclass

from manifests.resolve.account import LeafAccount
from manifests.resolve.state import Progress
from manifests.resolve.supplies import Holes
from manifests.resolve.types import Body, Head
from manifests.spec.types import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The beginning of a supply, all but its quota."""

    cursor: int
    first_epoch: int
    head: Head | None
    account: LeafAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The epoch that a leaf is in the middle of."""

    body: Body
    epoch: int
    start: int
    """Ranks that are over."""
    left: int
    """Samples that would still come."""


def begun(was: Progress, holes: Holes | None) -> Begun | None:
    """The epoch that has begun and is not over, None between two."""
    if was.head:
        head = was.head
        rank = holes.rank(head, 0) if holes else head.start + head.taken
        return Begun(body=head.body, epoch=head.epoch, start=rank, left=head.count)
    turn, rank = divmod(was.cursor, was.body.samples)
    if not rank:
        return None
    epoch, left = was.first_epoch + turn, was.body.samples - rank
    return Begun(body=was.body, epoch=epoch, start=rank, left=left)


def start(
    leaf: str,
    body: Body,
    sequence_length: int,
    was: Progress | None,
    cursor: Cursor,
    holes: Holes | None,
) -> Start:
    """Where a leaf begins that was left at `was`; `holes` only where a phase changes."""
    if was is None:
        return Start(cursor=0, first_epoch=0, head=None, account=LeafAccount(leaf=leaf))
    if cursor is Cursor.RESTART:
        return Start(cursor=0, first_epoch=0, head=None, account=_fresh(leaf, was, holes))
    if was.body == body and was.sequence_length == sequence_length and not (was.head and holes):
        return Start(
            cursor=was.cursor,
            first_epoch=was.first_epoch,
            head=was.head,
            account=_going_on(leaf, begun(was, holes), 0),
        )
    same_windows = was.body.layout is body.layout and was.sequence_length == sequence_length
    if not same_windows or holes is None:
        account = _fresh(leaf, was, holes)
        return Start(cursor=0, first_epoch=was.next_epoch, head=None, account=account)
    return _with_head(leaf, body, was, sequence_length, holes)


def _with_head(leaf: str, body: Body, was: Progress, sequence_length: int, holes: Holes) -> Start:
    """First what is left of the begun epoch, without what is gone, then the new table."""
    now = begun(was, holes)
    if now is None:
        account = LeafAccount(leaf=leaf)
        return Start(cursor=0, first_epoch=was.next_epoch, head=None, account=account)
    digest, gone = holes(leaf, now.body, now.epoch, now.start, sequence_length)
    count = now.body.samples - now.start - gone
    head = Head(body=now.body, epoch=now.epoch, start=now.start, holes=digest, count=count)
    return Start(
        cursor=0,
        first_epoch=max(was.next_epoch, now.epoch + 1),
        head=head if count else None,
        account=_going_on(leaf, now, now.left - count),
    )


def dropped(leaf: str, was: Progress, holes: Holes | None) -> LeafAccount:
    """The account of a leaf that the new mix is without."""
    now = begun(was, holes)
    return _going_on(leaf, now, now.left if now else 0)


def _going_on(leaf: str, now: Begun | None, skipped: int) -> LeafAccount:
    if now is None:
        return LeafAccount(leaf=leaf)
    over = now.body.samples - now.left
    return _account(leaf, now.body, consumed=over, going_on=now.left - skipped, skipped=skipped)


def _fresh(leaf: str, was: Progress, holes: Holes | None) -> LeafAccount:
    now = begun(was, holes)
    if now is None:
        return LeafAccount(leaf=leaf)
    over = now.body.samples - now.left
    return _account(leaf, now.body, consumed=over, going_on=now.left, repeated=over)


def _account(
    leaf: str, body: Body, *, consumed: int, going_on: int, skipped: int = 0, repeated: int = 0
) -> LeafAccount:
    lost = body.samples - consumed - going_on - skipped

    def tokens(samples: int) -> int:
        return samples * body.tokens // body.samples

    return LeafAccount(
        leaf=leaf,
        consumed=consumed,
        going_on=going_on,
        skipped=skipped,
        repeated=repeated,
        lost=lost,
        consumed_tokens=tokens(consumed),
        going_on_tokens=tokens(going_on),
        skipped_tokens=tokens(skipped),
        repeated_tokens=tokens(repeated),
        lost_tokens=tokens(lost),
    )
