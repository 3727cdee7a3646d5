"""The replicas of one teacher: who gets the next slot, and when nobody does.

A call goes to the replica that its affinity prefers, where its prefix is cached. If that is full,
or over `spill_factor` times the mean load, it goes to the next that its affinity prefers: always
the same, so the prefix is computed twice and not everywhere (consistent hashing with bounded loads,
Mirrokni, Thorup and Zadimoghaddam, 2018). If all are full it queues at its own, and a replica whose
queue is empty takes a record, all its waiting calls, from the longest. While no replica is usable,
or retries are over budget, the group is paused: calls wait and nothing fails.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Sequence

from infra.teacher.breaker import RetryBudget, State
from infra.teacher.events import EventKind, EventLog
from infra.teacher.idle import IdleSlots, Place
from infra.teacher.lease import Lease
from infra.teacher.line import Line, Waiter
from infra.teacher.policy import PoolPolicy
from infra.teacher.replica import Replica, stable_hash
from manifests.errors import ScriptoriumError, TeacherUnavailable

_log = logging.getLogger(__name__)


class Group:
    """Slots of one teacher's replicas."""

    def __init__(
        self,
        name: str,
        replicas: Sequence[Replica],
        policy: PoolPolicy,
        events: EventLog,
        idle: IdleSlots,
    ) -> None:
        self.name, self.replicas, self.policy = name, list(replicas), policy
        self._events, self._idle = events, idle
        idle.add_slots(policy.slots * len(self.replicas))
        self.budget = RetryBudget(policy.retry_ratio, policy.retry_floor)
        self.over_budget = False
        self.paused_since: float | None = None
        self._failure: ScriptoriumError | None = None
        self._parked: deque[Waiter] = deque()
        self._orders = itertools.count()
        self._give_up: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> list[Replica]:
        """Replicas that calls may go to."""
        return [r for r in self.replicas if r.usable]

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._parked) + sum(len(r.line) for r in self.replicas)

    async def acquire(
        self, affinity: str, role: str, avoid: Replica | None
    ) -> tuple[Replica, Lease]:
        """A slot; give it back with `release`.

        Args:
            affinity: Calls of equal affinity go to the same replica when it has room.
            role: Roles take turns where calls wait.
            avoid: The replica that failed this call, not used if there is another; a call that
                failed before goes to the front.

        Raises:
            TeacherUnavailable: Given up, or stopped.
            TeacherMisconfigured: No endpoint serves this teacher any more.
        """
        if self._failure is not None:
            raise _again(self._failure)
        mark = stable_hash(affinity)
        home = self._home(mark, avoid)
        if home is not None and not self.over_budget:
            replica = self._with_room(home, mark, avoid)
            if replica is not None:
                return replica, self._take(replica, mark, role)
            home.limiter.bound = True
        waiter = self._stand_in_line(home, mark, role, avoid)
        try:
            with self._idle.at(Place.WAITING):
                return await waiter.slot
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _stand_in_line(
        self, home: Replica | None, mark: int, role: str, avoid: Replica | None
    ) -> Waiter:
        again, order = avoid is not None, next(self._orders)
        waiter = Waiter(
            order=-order if again else order,
            role=role,
            affinity=mark,
            avoid=avoid,
            slot=asyncio.get_running_loop().create_future(),
        )
        if home is not None:
            home.line.add(waiter, front=again)
        elif again:
            self._parked.appendleft(waiter)
        else:
            self._parked.append(waiter)
        return waiter

    def release(self, replica: Replica, lease: Lease) -> None:
        """Give a slot back; the next call in line gets it."""
        replica.leases.take_back(lease)
        self._idle.freed(replica.in_flight, self.policy.slots)
        self.dispatch(replica)

    def _take(self, replica: Replica, affinity: int, role: str) -> Lease:
        lease = replica.take(affinity, role)
        self._idle.taken(replica.in_flight, self.policy.slots)
        return lease

    def dispatch(self, replica: Replica, steal: bool = True) -> None:
        """Give this replica's free slots to calls that wait for it, then to those of others."""
        now = asyncio.get_running_loop().time()
        while not self.over_budget and replica.has_room(now):
            waiter = replica.line.pop()
            if waiter is None and steal:
                self._steal(replica)
                waiter = replica.line.pop()
            if waiter is None:
                return
            waiter.slot.set_result((replica, self._take(replica, waiter.affinity, waiter.role)))

    def hold(self, replica: Replica, seconds: float) -> None:
        """Start no call at this replica for a while (Retry-After)."""
        loop = asyncio.get_running_loop()
        replica.held_until = max(replica.held_until, loop.time() + seconds)
        loop.call_at(replica.held_until + 0.001, self.dispatch, replica)

    def close_replica(
        self, replica: Replica, state: State, detail: str, kind: EventKind = EventKind.LOST
    ) -> None:
        """Stop using a replica; what waits there goes elsewhere."""
        if replica.breaker.state is State.OK or state is State.DEAD:
            _log.warning("teacher %s is %s: %s", replica.endpoint.url, state.value, detail)
        self._events.add(kind, self.name, replica.endpoint.url, detail)
        replica.breaker.open(state, detail)
        self._settle()

    def open_replica(self, replica: Replica) -> None:
        """Use a replica again: it is a new engine, so its limit starts anew."""
        _log.info("teacher %s is back", replica.endpoint.url)
        self._events.add(EventKind.BACK, self.name, replica.endpoint.url, "")
        replica.breaker.close()
        replica.limiter.restart()
        self._failure = None
        self._settle()

    def join_replica(self, replica: Replica) -> None:
        """Use one more; calls that wait get its slots, and records that prefer it go there."""
        _log.info("teacher %s joins (%s)", replica.endpoint.url, self.name)
        self._events.add(EventKind.JOINED, self.name, replica.endpoint.url, "")
        self.replicas.append(replica)
        self._idle.add_slots(self.policy.slots)
        self._failure = None
        self._settle()

    def set_over_budget(self, over: bool) -> None:
        """Pause for want of retry budget, or resume."""
        self.over_budget = over
        self._settle()

    def fail(self, error: ScriptoriumError) -> None:
        """Every call that waits, and every later one until a replica is back, gets this error."""
        self._failure = error
        for waiter in self._take_all():
            waiter.slot.set_exception(_again(error))

    def _settle(self) -> None:
        """After a change of who is usable: pause or resume, and line everyone up anew."""
        paused = self.over_budget or not self.usable
        if paused and self.paused_since is None:
            self.paused_since = time.time()
            why = "too many retries" if self.usable else "no endpoint answers"
            _log.warning("paused: %s (%s)", why, self.name)
            seconds = self.policy.give_up_after_seconds
            if seconds is not None:
                loop = asyncio.get_running_loop()
                self._give_up = loop.call_later(seconds, self._on_give_up)
        elif not paused and self.paused_since is not None:
            _log.info("resumed after %.0f s (%s)", time.time() - self.paused_since, self.name)
            self.paused_since = None
            self._failure = None
            self.forget_give_up()
        self._line_up()

    def forget_give_up(self) -> None:
        """Drop the timer that fails waiting calls."""
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None

    def _on_give_up(self) -> None:
        seconds = self.policy.give_up_after_seconds
        why = "; ".join(f"{r.endpoint.url}: {r.breaker.detail}" for r in self.replicas)
        advice = "start the endpoints again and resume the run"
        self.fail(
            TeacherUnavailable(f"no answer from {self.name} for {seconds:g} s ({why}): {advice}")
        )

    def _line_up(self) -> None:
        for waiter in sorted(self._take_all(), key=lambda w: w.order):
            home = self._home(waiter.affinity, waiter.avoid)
            if home is None:
                self._parked.append(waiter)
            else:
                home.line.add(waiter)
        for steal in (False, True):
            for replica in self.usable:
                self.dispatch(replica, steal)

    def _take_all(self) -> list[Waiter]:
        lines: list[deque[Waiter] | Line] = [self._parked, *(r.line for r in self.replicas)]
        waiters = [w for line in lines for w in line if not w.slot.done()]
        for line in lines:
            line.clear()
        return waiters

    def _home(self, affinity: int, avoid: Replica | None) -> Replica | None:
        usable = self.usable
        others = [r for r in usable if r is not avoid] or usable
        return max(others, key=lambda r: r.weight(affinity), default=None)

    def _with_room(self, home: Replica, affinity: int, avoid: Replica | None) -> Replica | None:
        now = asyncio.get_running_loop().time()
        if home.has_room(now) and not self._overloaded(home):
            return home
        room = [r for r in self.replicas if r is not avoid and r.has_room(now)]
        calm = [r for r in room if not self._overloaded(r)]
        if not room and home.has_room(now):
            return home
        return max(calm or room, key=lambda r: r.weight(affinity), default=None)

    def _overloaded(self, replica: Replica) -> bool:
        """Whether one more call would put it over its share, in parts of what each may hold.

        Below `spill_from` of its limit nobody is: an engine with room gains nothing from a spill,
        and the prefix would be computed twice.
        """
        if replica.load < self.policy.spill_from:
            return False
        usable = self.usable
        mean = (sum(r.in_flight for r in usable) + 1) / sum(r.limiter.limit for r in usable)
        return replica.in_flight + 1 > self.policy.spill_factor * mean * replica.limiter.limit

    def _steal(self, thief: Replica) -> None:
        """Take a record from the longest line, without those calls of it that failed here."""
        for waiter in max((r.line for r in self.replicas), key=len).pop_record(thief):
            thief.line.add(waiter)

    def _leave(self, waiter: Waiter) -> None:
        """A waiting call was cancelled, perhaps just as it got its slot."""
        slot = waiter.slot
        if slot.done() and not slot.cancelled() and slot.exception() is None:
            self.release(*slot.result())
        elif waiter in self._parked:
            self._parked.remove(waiter)
        else:
            any(replica.line.remove(waiter) for replica in self.replicas)


def _again(error: ScriptoriumError) -> ScriptoriumError:
    """A fresh one for each call: one instance raised by many would collect their tracebacks."""
    return type(error)(str(error))
