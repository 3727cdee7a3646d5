"""What the pool is doing, for logs, metrics and the dashboard."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.teacher.events import PoolEvent
from infra.teacher.idle import IdleTime
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
    """Calls that hold a lease on a slot now: granted less returned."""
    leases_granted: int
    leases_returned: int
    oldest_lease_seconds: float | None
    """Age of the lease held longest; None when none is held."""
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
    events: tuple[PoolEvent, ...]
    """What happened to its replicas last."""
    idle: IdleTime
    """Why its slots were empty."""


def endpoint_snapshot(replica: Replica, now: float) -> EndpointSnapshot:
    """The replica as it is now, `now` on the monotonic clock."""
    gauges, since = replica.gauges, replica.leases.oldest()
    return EndpointSnapshot(
        url=replica.endpoint.url,
        teacher=replica.endpoint.teacher.name,
        state=replica.breaker.state.value,
        detail=replica.breaker.detail,
        in_flight=replica.in_flight,
        leases_granted=replica.leases.granted,
        leases_returned=replica.leases.returned,
        oldest_lease_seconds=None if since is None else now - since,
        limit=replica.limiter.limit,
        waiting=len(replica.line),
        engine_running=None if gauges is None else gauges.running,
        engine_waiting=None if gauges is None else gauges.waiting,
        calls=replica.calls,
        errors=dict(replica.errors),
        prompt_tokens=replica.prompt_tokens,
        completion_tokens=replica.completion_tokens,
        cached_tokens=replica.cached_tokens,
    )
