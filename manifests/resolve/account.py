"""What a change costs: for every leaf, what goes on, what is skipped, what comes again."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from manifests.resolve.start import Start
from manifests.resolve.state import Begun, Progress, begun
from manifests.resolve.supplies import Holes
from manifests.resolve.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafAccount:
    """One leaf where a segment begins; all but `leaf` in samples, `_tokens` in useful tokens."""

    leaf: str
    samples: int = 0
    """Of this phase, trained on before the segment."""
    tokens: int = 0
    """In these."""
    epoch: int = 0
    """That the leaf goes on with; 0 where it is dropped."""
    cursor: int = 0
    """Samples of its body that are over where it goes on."""
    consumed: int = 0
    """Of the epoch that had begun."""
    going_on: int = 0
    """Of that epoch, still to come."""
    skipped: int = 0
    """Of that epoch, that will not come: the leaf is dropped, or they hold what was removed."""
    repeated: int = 0
    """Of that epoch, trained on already and again from the start of a fresh one."""
    lost: int = 0
    """Of that epoch, that neither come nor are known to be skipped: 0, or there is a bug."""
    consumed_tokens: int = 0
    going_on_tokens: int = 0
    skipped_tokens: int = 0
    repeated_tokens: int = 0
    lost_tokens: int = 0


def account(
    leaf: str, had: Usage, was: Progress | None, start: Start | None, holes: Holes
) -> LeafAccount:
    """Of a leaf that had this in its phase and was left at `was`; `start` None: it is dropped."""
    found = replace(_of_epoch(leaf, was, start, holes), samples=had.samples, tokens=int(had.tokens))
    if start is None:
        return found
    turns = start.first_epoch + start.cursor // start.body.samples
    epoch = start.head.epoch if start.head else turns
    return replace(found, epoch=epoch, cursor=start.cursor)


def summed(accounts: Sequence[LeafAccount]) -> LeafAccount:
    """All leaves as one without a name; its epoch and cursor mean nothing."""
    names = [one.name for one in fields(LeafAccount) if one.name not in ("leaf", "epoch", "cursor")]
    return LeafAccount(
        leaf="", **{name: sum(getattr(one, name) for one in accounts) for name in names}
    )


def _of_epoch(leaf: str, was: Progress | None, start: Start | None, holes: Holes) -> LeafAccount:
    """What becomes of the epoch that had begun."""
    now = begun(was) if was else None
    if was is None or now is None:
        return LeafAccount(leaf=leaf)
    size = now.body.samples
    if start is None:
        return _account(leaf, now, skipped=size - now.trained)
    if start.fresh:
        return _given_up(leaf, was, now, start, holes)
    left = start.head.count if start.head else 0
    if start.body != was.body:
        rank = holes.rank(was.head, 0) if was.head else now.trained
        _, gone = holes(leaf, now.body, now.epoch, rank, was.sequence_length)
        return _account(leaf, now, going_on=left, skipped=gone + rank - now.trained)
    if start.head:  # as it was left, with the holes that it passes over or has passed over
        return _account(leaf, now, going_on=left, skipped=size - now.trained - left)
    return _account(leaf, now, going_on=size - start.cursor % size)


def _given_up(leaf: str, was: Progress, now: Begun, start: Start, holes: Holes) -> LeafAccount:
    """All of it comes in the fresh epoch, but for what is gone."""
    if now.body.table == start.body.table:
        return _account(leaf, now, going_on=now.left, repeated=now.trained)
    rank = holes.rank(was.head, 0) if was.head else now.trained
    _, gone = holes(leaf, now.body, now.epoch, rank, was.sequence_length)
    _, gone_of_all = holes(leaf, now.body, now.epoch, 0, was.sequence_length)
    passed_over = rank - now.trained
    return _account(
        leaf,
        now,
        going_on=now.body.samples - rank - gone,
        skipped=gone + passed_over,
        repeated=now.trained - (gone_of_all - gone - passed_over),
    )


def _account(
    leaf: str, now: Begun, *, going_on: int = 0, skipped: int = 0, repeated: int = 0
) -> LeafAccount:
    body, consumed = now.body, now.trained
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
