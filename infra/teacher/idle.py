"""Why slots of the teacher are empty: every empty slot-second goes to one reason.

The pool knows how many of its calls are at each endpoint, and whoever works with it says where its
other work stands; what is counted changes at those moments only, and the time between two of them
is added up. Of the empty slots so many go to calls that wait for the limit, then to calls that wait
for a retry, and so on down `_BLOCKED`; what nothing blocked explains was not there to be asked.

So the reasons and the time with a call of ours add up to slots times seconds, exactly. A call of
ours is not in its slot while it is on the wire or in either program's event loop: what the engine
says it was busy tells that part.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Reason(StrEnum):
    """Why a slot was empty."""

    NO_SEEDS = "no seeds"
    """Nothing is begun and nothing is planned."""
    DEPENDENCY = "dependency"
    """Rows that are still to be read or made by others, and items between two of their calls."""
    WRITER = "writer"
    """Answers held by a flush: their items go on when they are written."""
    RETRY = "retry"
    """Calls in backoff."""
    TAIL = "tail"
    """Fewer items left than slots."""
    LIMIT = "limit"
    """Calls held by the pool's limit, a hold, an outage, a budget, or the items at once."""


class Place(IntEnum):
    """Where work can stand that is not at an endpoint."""

    WAITING = 0
    """Calls that may not begin."""
    RETRYING = 1
    """Calls in backoff."""
    HELD = 2
    """Answers that wait for a flush."""
    BETWEEN = 3
    """Items that are begun and ask nothing."""
    UNBEGUN = 4
    """Items that wait for their turn."""
    PLANNED = 5
    """Tasks whose items are not here yet."""
    BEGUN = 6
    """Items that are begun."""


_BLOCKED = (
    (Place.WAITING, Reason.LIMIT),
    (Place.RETRYING, Reason.RETRY),
    (Place.HELD, Reason.WRITER),
    (Place.BETWEEN, Reason.DEPENDENCY),
    (Place.UNBEGUN, Reason.LIMIT),
)
"""In order: who is ready comes before who waits for something that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTime:
    """Since the first call; all zero where the slots are not known."""

    slot_seconds: float
    """Slots times seconds."""
    asked_seconds: float
    """Of those, with a call of ours."""
    idle_seconds: Mapping[str, float]
    """The others, by reason."""


class IdleSlots:
    """Counts empty slots; only the event loop's thread touches it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._slots = self._empty = self._asked = 0
        self._counts = [0] * len(Place)
        self._since: float | None = None
        self._slot_seconds = self._asked_seconds = 0.0
        self._idle = dict.fromkeys(Reason, 0.0)
        self._last_answer = self._told()

    def add_slots(self, slots: int) -> None:
        """An endpoint runs so many calls at once for us."""
        self._pass()
        self._slots += slots
        self._empty += slots

    def taken(self, in_flight: int, slots: int) -> None:
        """A call went to an endpoint of so many slots, which has `in_flight` of ours now."""
        if self._since is None:
            self._since = self.clock()
        self._pass()
        self._asked += 1
        self._empty -= in_flight <= slots

    def freed(self, in_flight: int, slots: int) -> None:
        """A call came back from an endpoint of so many slots, which has `in_flight` left."""
        self._pass()
        self._asked -= 1
        self._empty += in_flight < slots
        if not self._asked:
            self._last_answer = self._told()

    def move(self, place: Place, by: int) -> None:
        """So many more, or fewer, stand at a place."""
        self._pass()
        self._counts[place] += by

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """One stands there meanwhile."""
        self.move(place, 1)
        try:
            yield
        finally:
            self.move(place, -1)

    def told(self) -> IdleTime:
        """Until now."""
        self._pass()
        return self._told()

    def until_last_answer(self) -> IdleTime:
        """Until the last time that no call was left: what came after kept no teacher waiting."""
        return self._last_answer

    def _told(self) -> IdleTime:
        return IdleTime(
            slot_seconds=self._slot_seconds,
            asked_seconds=self._asked_seconds,
            idle_seconds={reason.value: seconds for reason, seconds in self._idle.items()},
        )

    def _pass(self) -> None:
        """Add up the time since the last change."""
        if self._since is None or not self._slots:
            return
        now = self.clock()
        seconds, self._since = now - self._since, now
        self._slot_seconds += self._slots * seconds
        self._asked_seconds += (self._slots - self._empty) * seconds
        left = self._empty
        for place, reason in _BLOCKED:
            if not left:
                return
            part = min(left, self._counts[place])
            self._idle[reason] += part * seconds
            left -= part
        self._idle[self._unexplained()] += left * seconds

    def _unexplained(self) -> Reason:
        if self._counts[Place.PLANNED]:
            return Reason.DEPENDENCY
        return Reason.TAIL if self._counts[Place.BEGUN] else Reason.NO_SEEDS
