"""What happened to the replicas of a run: each loss, return, join and change of model, once."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

REMEMBERED = 256
"""Events that a pool keeps; whoever looks every few seconds misses none. [I]"""


class EventKind(StrEnum):
    """What can happen to a replica."""

    LOST = "lost"
    """Its calls failed, or it made no tokens: it is not used any more."""
    WRONG_MODEL = "wrong model"
    """It serves another model or another revision now: it is not used any more."""
    BACK = "back"
    """It answers again, with the right model."""
    JOINED = "joined"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolEvent:
    """One event of one pool."""

    number: int
    """Counted by the pool, from 0."""
    at: float
    """Unix time."""
    kind: EventKind
    teacher: str
    """`model@revision` that the replica is wanted for."""
    url: str
    detail: str


@dataclass(slots=True)
class EventLog:
    """The last events of a pool."""

    clock: Callable[[], float] = time.time
    _events: deque[PoolEvent] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _count: int = 0

    def add(self, kind: EventKind, teacher: str, url: str, detail: str) -> None:
        """Remember an event; a replica that is lost and probed again is lost once."""
        last = next((event for event in reversed(self._events) if event.url == url), None)
        if last is not None and (last.teacher, last.kind) == (teacher, kind):
            return
        self._events.append(
            PoolEvent(
                number=self._count,
                at=self.clock(),
                kind=kind,
                teacher=teacher,
                url=url,
                detail=detail,
            )
        )
        self._count += 1

    @property
    def last(self) -> tuple[PoolEvent, ...]:
        """The events that are remembered, in order."""
        return tuple(self._events)
