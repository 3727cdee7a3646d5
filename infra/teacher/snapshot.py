"""What the pool is doing, for logs, metrics and the dashboard."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.teacher.replica import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSnapshot:
    """One endpoint at one moment; counters are since the pool started."""

    url: str
    teacher: str
    state: str
    """`ok`, `open`, `half-open` or `dead`."""
    detail: str
    """Why it is not ok."""
    in_flight: int
    limit: int
    waiting: int
    """Calls that wait in the pool for this endpoint."""
    engine_running: int | None
    engine_waiting: int | None
    """As the engine said last; None when it says nothing."""
    calls: int
    errors: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """The pool at one moment."""

    endpoints: tuple[EndpointSnapshot, ...]
    paused_since: float | None
    """Unix time since when some teacher answers nothing, or None."""
    queue: int
    """Calls that wait for a slot."""
    requests: int
    """Calls of `complete`."""
    retries: int
    canaries: int


def endpoint_snapshot(replica: Replica) -> EndpointSnapshot:
    """The replica as it is now."""
    gauges = replica.gauges
    return EndpointSnapshot(
        url=replica.endpoint.url,
        teacher=replica.endpoint.teacher.name,
        state=replica.breaker.state.value,
        detail=replica.breaker.detail,
        in_flight=replica.in_flight,
        limit=replica.limiter.limit,
        waiting=len(replica.queue),
        engine_running=None if gauges is None else gauges.running,
        engine_waiting=None if gauges is None else gauges.waiting,
        calls=replica.calls,
        errors=dict(replica.errors),
        prompt_tokens=replica.prompt_tokens,
        completion_tokens=replica.completion_tokens,
        cached_tokens=replica.cached_tokens,
    )
