"""The numbers by which the pool acts. None of them is part of any identity."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """How many calls one endpoint gets at once."""

    initial: int = 32
    """An engine runs hundreds; the limit doubles from here, until the engine queues."""
    minimum: int = 1
    maximum: int = 4096
    blind_maximum: int = 128
    """For endpoints without /metrics, where only errors tell that it is too much."""
    backoff: float = 0.75
    """Factor on 429, 503, timeouts and preemptions."""
    cooldown_seconds: float = 2.0
    """One burst of errors is one piece of news: cut once in this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """Timeouts, retries and breaking, in seconds where not said otherwise."""

    limit: LimitPolicy = LimitPolicy()
    spill_factor: float = 1.25
    """A call leaves the replica that has its prefix when that is over so many times the mean load
    (in flight as a part of the limit) of all replicas. [I]"""
    spill_from: float = 0.5
    """But not before that replica is this full. [I]"""
    connect_seconds: float = 10.0
    deadline_floor_seconds: float = 600.0
    deadline_factor: float = 3.0
    """Times the slowest recent seconds per token, times max_tokens."""
    unknown_seconds_per_token: float = 1.0
    """Until an endpoint has answered."""
    max_answer_bytes: int = 16 << 20
    scrape_seconds: float = 1.0
    stall_seconds: float = 60.0
    """No token made in this time although there is work: the endpoint is dead."""
    retry_ratio: float = 0.1
    """Retries at most, as a part of calls."""
    retry_floor: int = 20
    """Retries that are always allowed, so that small runs can retry."""
    backoff_base_seconds: float = 0.5
    backoff_cap_seconds: float = 30.0
    """Of the waits before a retry, and before a next call to an endpoint that answered 429."""
    max_retry_after_seconds: float = 120.0
    max_malformed: int = 3
    max_attempts: int = 8
    """Attempts at one prompt that may end in 500, reset or timeout: a prompt that breaks servers
    is refused in the end. 429, 503 and outages do not count."""
    breaker_window: int = 20
    breaker_minimum: int = 5
    breaker_ratio: float = 0.5
    probe_seconds: float = 1.0
    """Wait before the first canary; doubles up to `probe_cap_seconds`."""
    probe_cap_seconds: float = 15.0
    canary_tokens: int = 8
    canary_seconds: float = 120.0
    slots: int = 0
    """Calls that each endpoint runs at once for this pool, where that is known: then its empty
    slots are counted, by reason; 0: they are not."""
    give_up_after_seconds: float | None = None
    """Fail waiting calls when no endpoint has answered for so long; None waits for ever."""
