"""How many calls to keep at one endpoint: enough that its engine never starves, hardly more.

The engine tells: it runs what fits and queues the rest. While its queue is empty and we are held
by our limit, the limit grows: doubling at first, later by 1, 2, 3, ... a tick. When the queue is
longer than wanted for three ticks, the limit becomes our share of what runs plus a small standing
queue, a target computed from what is there and not from the old limit, so that ticks do not add
up. Errors and preemptions cut it by a factor. Latency says nothing here: long answers are not
overload.
"""

from collections import deque
from dataclasses import dataclass, field

from infra.teacher.gauges import Gauges
from infra.teacher.policy import LimitPolicy


@dataclass(slots=True)
class Limiter:
    """The limit of one endpoint; times are of any one monotonic clock."""

    policy: LimitPolicy
    limit: int = field(init=False)
    bound: bool = field(default=False, init=False)
    """Whether the limit held a call back since the last tick."""
    starting: bool = field(default=True, init=False)
    """Still doubling (slow start): the sooner it ends, the less the engine waits for us."""
    _step: int = field(default=0, init=False)
    _cut_at: float = field(default=float("-inf"), init=False)
    _preemptions: float | None = field(default=None, init=False)
    _seen: deque[Gauges] = field(default_factory=lambda: deque(maxlen=3), init=False)
    """One scrape may fall between a batch that ended and the next that has not begun."""

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again: the engine behind the endpoint is a new one."""
        self.limit = self.policy.initial
        self.starting, self._step, self._preemptions = True, 0, None
        self._seen.clear()

    def overloaded(self, now: float) -> None:
        """429, 503 or a timeout; one burst cuts once."""
        self.starting, self._step = False, 0
        if now - self._cut_at >= self.policy.cooldown_seconds:
            self._cut_at = now
            self._set(int(self.limit * self.policy.backoff))

    def tick(self, gauges: Gauges | None, in_flight: int, now: float) -> None:
        """What the engine says, once a scrape; None when the endpoint says nothing."""
        bound, self.bound = self.bound, False
        if gauges is None:
            if bound and now - self._cut_at >= self.policy.cooldown_seconds:
                self._grow(self.policy.blind_maximum)
            return
        before, self._preemptions = self._preemptions, gauges.preemptions
        if before is not None and gauges.preemptions > before:
            self.overloaded(now)
            return
        self._seen.append(gauges)
        running = max(seen.running for seen in self._seen)
        wanted = max(2, running // 10)
        if gauges.waiting > wanted:
            self.starting, self._step = False, 0
            lasting = len(self._seen) == 3 and min(s.waiting for s in self._seen) > wanted
            if lasting and in_flight:
                share = min(1.0, in_flight / (gauges.running + gauges.waiting))
                self._set(min(self.limit, round((running + (1 + wanted) // 2) * share)))
        elif not bound:
            self._step = 0
        elif gauges.waiting >= 1:
            # Full and content. Yet +1: cut by share and grown by steps, the limits of several
            # clients of one engine become equal (Chiu and Jain, 1989).
            self.starting, self._step = False, 0
            self._grow(self.policy.maximum)
        elif gauges.kv_usage < 0.95 and gauges.running * 2 >= in_flight:
            # An engine that has not seen half of what we sent is held up before its scheduler,
            # where more calls do not help.
            self._grow(self.policy.maximum)

    def _grow(self, maximum: int) -> None:
        self._step += 1
        grown = self.limit * 2 if self.starting else self.limit + self._step
        self._set(min(grown, max(maximum, self.limit)))

    def _set(self, limit: int) -> None:
        self.limit = min(max(limit, self.policy.minimum), self.policy.maximum)
