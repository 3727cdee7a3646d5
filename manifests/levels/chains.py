"""L0 of cursors: along each chain of phases every leaf goes on where it stopped.

Told anew from the stored numbers alone, without the code that resolves.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from manifests.levels.findings import Kind, LevelReport
from manifests.levels.plain import Holes, survivor
from manifests.resolve.types import Body, Head, Phase, Supply, source_of
from manifests.spec.types import Cursor, Mixture


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """How a leaf was left."""

    body: Body
    length: int
    cursor: int
    first_epoch: int
    head: Head | None
    next_epoch: int
    """Above all epochs that were begun."""


MayRestart = Callable[[str, str], bool]
"""Whether a leaf may begin anew in a phase, by the phase's and the leaf's names."""


class Gone(Protocol):
    """The ranks of a begun epoch that a new table leaves out."""

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int, table: str
    ) -> tuple[str, int]:
        """Digest and number of those from `start` on; `table` is the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a beginning is judged by."""

    may_restart: MayRestart
    holes: Holes
    gone: Gone | None = None
    """None: holes are taken as they are stored."""

    @property
    def kind(self) -> Kind:
        """Of findings by these rules."""
        return Kind.ORDER if self.gone else Kind.COUNT


def check_chains(phases: tuple[Phase, ...], rules: Rules, report: LevelReport) -> None:
    """Every beginning of a leaf, against how it was left."""
    ends: dict[str, dict[str, _Left]] = {"": {}}
    for phase in phases:
        state = dict(ends.get(phase.after, {}))
        for number, segment in enumerate(phase.segments):
            for supply in segment.supplies:
                was = state.get(supply.leaf)
                if not _goes_on(supply, was, phase, rules):
                    where = f"phase {phase.name}, segment {number}, {supply.leaf}"
                    report.found(rules.kind, where, _told(supply, was, rules))
                if supply.quota:
                    state[supply.leaf] = _after(was, supply, phase.sequence_length)
        ends[phase.name] = state


def restarts(mixture: Mixture) -> MayRestart:
    """What a spec says about beginning anew; anything that a recall brings back may if it may."""
    entries = [(phase.name, entry) for phase in mixture.phases for entry in phase.mix]
    entries += [(change.phase, entry) for change in mixture.changes for entry in change.mix]
    told = {
        (phase, "" if entry.recall else entry.name)
        for phase, entry in entries
        if entry.cursor is Cursor.RESTART
    }
    return lambda phase, leaf: not told.isdisjoint({(phase, ""), (phase, source_of(leaf))})


def _goes_on(supply: Supply, was: _Left | None, phase: Phase, rules: Rules) -> bool:
    begins = (supply.cursor, supply.first_epoch, supply.head)
    may_begin = was is None or rules.may_restart(phase.name, supply.leaf)
    if may_begin and begins == (0, 0, None):
        return True
    if was is None:
        return False
    if (was.body, was.length) == (supply.body, phase.sequence_length):
        return begins == (was.cursor, was.first_epoch, was.head)
    if begins[:2] != (0, was.next_epoch):
        return False
    if was.length != phase.sequence_length or was.body.layout is not supply.body.layout:
        return supply.head is None
    return _is_rest(supply, was, rules)


def _is_rest(supply: Supply, was: _Left, rules: Rules) -> bool:
    """Whether a head is what is left of the begun epoch, and is there if anything is left."""
    if was.head:
        body, epoch = was.head.body, was.head.epoch
        holes = rules.holes(was.head.holes) if was.head.holes else ()
        start = survivor(holes, was.head.start, was.head.taken)
    else:
        turn, start = divmod(was.cursor, was.body.samples)
        body, epoch = was.body, was.first_epoch + turn
    head, gone = supply.head, ("", 0)
    if not start:
        return head is None
    if rules.gone:
        table = supply.body.table
        gone = rules.gone(supply.leaf, body, epoch, start, was.length, table)
    if head is None:
        return rules.gone is None or gone[1] == body.samples - start
    if (head.body, head.epoch, head.start, head.taken) != (body, epoch, start, 0):
        return False
    return rules.gone is None or gone[0] == head.holes


def _after(was: _Left | None, supply: Supply, length: int) -> _Left:
    head, of_head = supply.head, 0
    if head:
        of_head = min(supply.quota, head.count)
        taken, left = head.taken + of_head, head.count - of_head
        head = replace(head, taken=taken, count=left) if left else None
    cursor = supply.cursor + supply.quota - of_head
    begun = supply.first_epoch + -(-cursor // supply.body.samples)
    return _Left(
        body=supply.body,
        length=length,
        cursor=cursor,
        first_epoch=supply.first_epoch,
        head=head,
        next_epoch=max(was.next_epoch if was else 0, begun),
    )


def _told(supply: Supply, was: _Left | None, rules: Rules) -> str:
    if rules.gone:
        return "what is left out of its begun epoch is not what its documents say"
    left = f"cursor {was.cursor:,}, epoch {was.first_epoch}" if was else "it was never drawn"
    return f"begins at cursor {supply.cursor:,}, not as it was left ({left})"
