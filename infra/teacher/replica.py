"""One endpoint as the pool sees it: its limit, its health, what is in flight and what was."""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from hashlib import blake2b

from infra.teacher.breaker import Breaker, State
from infra.teacher.gauges import Gauges
from infra.teacher.lease import Lease, Leases
from infra.teacher.limiter import Limiter
from infra.teacher.line import Line
from infra.teacher.models import Endpoint
from infra.teacher.policy import PoolPolicy
from manifests.completions import Usage

_SHORT_ANSWER = 16
"""Tokens added when seconds per token are taken, so that a one-word answer after a long prompt
does not pass for a slow engine."""


_MASK = (1 << 64) - 1


def stable_hash(text: str) -> int:
    """Equal in every process, unlike `hash`."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass(eq=False, slots=True)
class Replica:
    """The state of one endpoint; only the event loop's thread touches it."""

    endpoint: Endpoint
    policy: PoolPolicy
    limiter: Limiter = field(init=False)
    breaker: Breaker = field(init=False)
    line: Line = field(default_factory=Line, init=False)
    """Calls that would rather go here than elsewhere."""
    leases: Leases = field(default_factory=Leases, init=False)
    held_until: float = field(default=0.0, init=False)
    """No new call before this time (Retry-After), on the loop's clock."""
    rate_limits: int = field(default=0, init=False)
    """429s since it last answered."""
    cut_at: float = field(default=float("-inf"), init=False)
    """When its calls were cut last."""
    deadlines: set[asyncio.Timeout] = field(default_factory=set, init=False)
    gauges: Gauges | None = field(default=None, init=False)
    in_recovery: bool = field(default=False, init=False)
    misconfigured: bool = field(default=False, init=False)
    """The last probe found another model, or no access."""
    has_metrics: bool | None = field(default=None, init=False)
    calls: int = field(default=0, init=False)
    errors: Counter[str] = field(default_factory=Counter, init=False)
    prompt_tokens: int = field(default=0, init=False)
    completion_tokens: int = field(default=0, init=False)
    cached_tokens: int = field(default=0, init=False)
    _seed: int = field(init=False)
    _pace: deque[float] = field(default_factory=lambda: deque(maxlen=256), init=False)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.policy.limit)
        self.breaker = Breaker(self.policy)
        self._seed = stable_hash(self.endpoint.url)

    @property
    def usable(self) -> bool:
        """Whether calls may go here at all."""
        return self.breaker.state is State.OK

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot here."""
        return len(self.leases)

    @property
    def load(self) -> float:
        """In flight as a part of the limit."""
        return self.in_flight / self.limiter.limit

    def weight(self, affinity: int) -> int:
        """Rendezvous hashing: the replica with the largest weight is an affinity's own."""
        mixed = (self._seed ^ affinity) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31

    def has_room(self, now: float) -> bool:
        """Whether one more call may start here now."""
        return self.usable and self.in_flight < self.limiter.limit and now >= self.held_until

    def take(self, affinity: int, role: str) -> Lease:
        """Occupy a slot; who takes it gives the lease back."""
        lease = self.leases.grant(affinity, role, time.monotonic())
        if self.in_flight >= self.limiter.limit:
            self.limiter.bound = True
        return lease

    def answered(self, usage: Usage, seconds: float) -> None:
        """Count a completion."""
        self.rate_limits = 0
        self.calls += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += usage.cached_tokens
        self._pace.append(seconds / (usage.completion_tokens + _SHORT_ANSWER))

    def deadline(self, max_tokens: int) -> float:
        """Seconds that a call may take, queueing in the engine included.

        Generous, because progress and not this is what tells that an engine hangs.
        """
        pace = max(self._pace, default=self.policy.unknown_seconds_per_token)
        floor = self.policy.deadline_floor_seconds
        return max(floor, self.policy.deadline_factor * pace * max_tokens)

    def cut_calls(self) -> None:
        """End every call in flight now; each sees its deadline pass."""
        self.cut_at = now = asyncio.get_running_loop().time()
        for deadline in list(self.deadlines):
            deadline.reschedule(now)
