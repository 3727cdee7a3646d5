"""The simulated inference engine: slots, one first-in-first-out queue, exact time.

It is a discrete-event simulation played in real time. A queued request starts at the moment the
slot before it was planned to end, not when the timer happened to fire, so that lateness of the
event loop never adds up and the busy slot-seconds are exact. Capacity is reserved for the whole
answer at admission, so unlike vLLM it never has to preempt.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from infra.simulated.prefix import PrefixCache
from infra.simulated.settings import BLOCK_TOKENS, Settings, tokens_of

_EARLY = 0.0005
"""A timer may fire early, since loops count milliseconds; beyond this it is set again."""


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """One sequence; times are `time.monotonic()` seconds, set when it starts."""

    prompt: str
    completion_tokens: int
    on_done: Callable[["Job"], None]
    on_start: Callable[["Job"], None] | None = None
    slowdown: float = 1.0
    hangs: bool = False
    cached_tokens: int = 0
    arrived: float = 0.0
    started: float = 0.0
    first_token: float = 0.0
    ends: float = 0.0
    timer: asyncio.TimerHandle | None = None

    @property
    def blocks(self) -> int:
        """Blocks of KV cache at its full length."""
        return -(-(tokens_of(self.prompt) + self.completion_tokens) // BLOCK_TOKENS)

    def generated(self, now: float) -> int:
        """Tokens written so far."""
        if self.hangs or now <= self.first_token:
            return 0
        share = (now - self.first_token) / max(self.ends - self.first_token, 1e-9)
        return int(self.completion_tokens * min(1.0, share))


class Engine:
    """Serves jobs; `running` and `waiting` are what vLLM's gauges of the same names show."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots = settings.slots
        self._capacity = settings.blocks
        self._prefill = settings.prefill_seconds_per_token * settings.time_scale
        self._decode = settings.seconds_per_token * settings.time_scale
        self._prefixes = PrefixCache(settings.blocks)
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._running: dict[Job, None] = {}
        self._blocks = 0
        self._admitting = False
        self._busy = 0.0
        self._tokens = 0
        self.prefix_queries = 0
        self.prefix_hits = 0
        self.max_waiting = 0

    @property
    def running(self) -> int:
        """Jobs that hold a slot."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._waiting)

    @property
    def cache_usage(self) -> float:
        """Share of the KV cache that running jobs have reserved, in [0, 1]."""
        return min(1.0, self._blocks / self._capacity)

    def busy_seconds(self) -> float:
        """Slot-seconds in use since the last reset; wall seconds."""
        now = time.monotonic()
        return self._busy + sum(self._used(job, now) for job in self._running)

    def generated_tokens(self) -> int:
        """Tokens written since the last reset, those of unfinished answers included."""
        now = time.monotonic()
        return self._tokens + sum(job.generated(now) for job in self._running)

    def submit(self, job: Job) -> None:
        """Queue a job; it may be done before this returns."""
        job.arrived = time.monotonic()
        self._waiting[job] = None
        self._admit(job.arrived)
        self.max_waiting = max(self.max_waiting, len(self._waiting))

    def cancel(self, job: Job) -> None:
        """Drop a job that is not done; its slot is free at once."""
        if job in self._waiting:
            del self._waiting[job]
        elif job in self._running:
            now = time.monotonic()
            self._release(job, job.started + self._used(job, now), job.generated(now))
        self._admit(time.monotonic())

    def reset(self) -> None:
        """Counters to zero and the prefix cache empty; what runs goes on."""
        self._busy -= self.busy_seconds()
        self._tokens -= self.generated_tokens()
        self.prefix_queries = self.prefix_hits = 0
        self.max_waiting = len(self._waiting)
        self._prefixes.clear()

    def _used(self, job: Job, now: float) -> float:
        return now - job.started if job.hangs else min(now, job.ends) - job.started

    def _fits(self, job: Job) -> bool:
        room = self._blocks + job.blocks <= self._capacity or not self._running
        return len(self._running) < self._slots and room

    def _admit(self, free_since: float) -> None:
        if self._admitting:  # a job that was done at once has brought the next one
            return
        self._admitting = True
        try:
            while self._waiting and self._fits(next(iter(self._waiting))):
                job, _ = self._waiting.popitem(last=False)
                self._start(job, max(free_since, job.arrived))
                if not job.hangs and job.ends <= time.monotonic():
                    free_since = max(free_since, job.ends)
                    self._finish(job)
        finally:
            self._admitting = False

    def _start(self, job: Job, at: float) -> None:
        prompt_tokens = tokens_of(job.prompt)
        job.cached_tokens = self._prefixes.admit(job.prompt)
        self.prefix_queries += prompt_tokens
        self.prefix_hits += job.cached_tokens
        prefill = (prompt_tokens - job.cached_tokens) * self._prefill * job.slowdown
        job.started = at
        job.first_token = at + prefill
        job.ends = job.first_token + job.completion_tokens * self._decode * job.slowdown
        self._running[job] = None
        self._blocks += job.blocks
        if not job.hangs and (wait := job.ends - time.monotonic()) > 0:
            job.timer = self._loop.call_later(wait, self._due, job)
        if job.on_start is not None:
            job.on_start(job)

    def _due(self, job: Job) -> None:
        wait = job.ends - time.monotonic()
        if wait > _EARLY:
            job.timer = self._loop.call_later(wait, self._due, job)
            return
        self._finish(job)
        self._admit(job.ends)

    def _finish(self, job: Job) -> None:
        self._release(job, job.ends, job.completion_tokens)
        job.on_done(job)

    def _release(self, job: Job, until: float, tokens: int) -> None:
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        del self._running[job]
        self._blocks -= job.blocks
        self._busy += until - job.started
        self._tokens += tokens
