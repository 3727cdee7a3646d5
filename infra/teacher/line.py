"""The line before one replica: roles take turns, and calls of one record follow each other.

Turns are deficit round robin with one call as the quantum and as the cost of each: a call that is
first of its role waits for at most one call of each other role, however long their queues are.
Within a role the calls that share a prefix go one after the other, while the engine still has it,
and at most `RUN` of them before the next record has its turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.teacher.lease import Lease
    from infra.teacher.replica import Replica

RUN = 32
"""Calls of one record in a row while others wait. [I]"""


@dataclass(eq=False, slots=True, kw_only=True)
class Waiter:
    """A call that waits for a slot."""

    order: int
    role: str
    affinity: int
    avoid: "Replica | None"
    slot: "asyncio.Future[tuple[Replica, Lease]]"


class _Lane:
    """Calls of one role, by record."""

    def __init__(self) -> None:
        self.records: OrderedDict[int, deque[Waiter]] = OrderedDict()
        self._in_a_row = 0

    def add(self, waiter: Waiter, front: bool) -> None:
        calls = self.records.setdefault(waiter.affinity, deque())
        if not front:
            calls.append(waiter)
            return
        calls.appendleft(waiter)
        self.records.move_to_end(waiter.affinity, last=False)

    def pop(self) -> Waiter:
        affinity, calls = next(iter(self.records.items()))
        waiter = calls.popleft()
        self._in_a_row += 1
        if not calls:
            del self.records[affinity]
            self._in_a_row = 0
        elif self._in_a_row >= RUN:
            self.records.move_to_end(affinity)
            self._in_a_row = 0
        return waiter


class Line:
    """Waiting calls of one replica."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        """The role whose turn it is stands first; a lane that is here is not empty."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Waiter]:
        for lane in self._lanes.values():
            for calls in lane.records.values():
                yield from calls

    def add(self, waiter: Waiter, front: bool = False) -> None:
        """Stand in line; `front` is for a call that had a slot before."""
        self._lanes.setdefault(waiter.role, _Lane()).add(waiter, front)
        self._length += 1

    def pop(self) -> Waiter | None:
        """Whose turn it is; a call whose slot is settled (cancelled, failed) has none."""
        while self._lanes:
            role, lane = next(iter(self._lanes.items()))
            waiter = lane.pop()
            self._length -= 1
            if not lane.records:
                del self._lanes[role]
            elif not waiter.slot.done():
                self._lanes.move_to_end(role)
            if not waiter.slot.done():
                return waiter
        return None

    def pop_record(self, thief: "Replica") -> list[Waiter]:
        """All calls of the first record that may go to `thief`: together, so that its prefix is
        computed there once and not once a call on many replicas.
        """
        for role, lane in self._lanes.items():
            for calls in lane.records.values():
                fit = [w for w in calls if w.avoid is not thief and not w.slot.done()]
                if fit:
                    for waiter in fit:
                        self.remove(waiter)
                    if role in self._lanes:
                        self._lanes.move_to_end(role)
                    return fit
        return []

    def remove(self, waiter: Waiter) -> bool:
        """Leave the line; False when it was not in it."""
        lane = self._lanes.get(waiter.role)
        calls = None if lane is None else lane.records.get(waiter.affinity)
        if lane is None or calls is None or waiter not in calls:
            return False
        calls.remove(waiter)
        self._length -= 1
        if not calls:
            del lane.records[waiter.affinity]
        if not lane.records:
            del self._lanes[waiter.role]
        return True

    def clear(self) -> None:
        """Nobody waits any more."""
        self._lanes.clear()
        self._length = 0
