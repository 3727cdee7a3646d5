"""Watching one engine: its gauges feed the limit, and its tokens are its pulse.

/health says that a web server runs. Only a token counter that moves says that the engine works: no
token in `stall_seconds` although there is work, and the endpoint is dead.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from infra.teacher.breaker import State
from infra.teacher.gauges import Gauges, read_gauges
from infra.teacher.group import Group
from infra.teacher.replica import Replica

if TYPE_CHECKING:
    import aiohttp

_HURRY = 4
"""Scrapes in the time of one, while a limit still doubles."""


class Pulse:
    """When the engine last did anything."""

    def __init__(self, now: float) -> None:
        self._moved_at, self._seen = now, (-1.0, -1)

    def stalled_for(self, replica: Replica, gauges: Gauges | None, now: float) -> float:
        """Seconds without a sign of life while there is work; a call that ends is one too."""
        tokens = self._seen[0] if gauges is None else gauges.tokens
        busy = replica.in_flight > 0 and (gauges is None or gauges.running + gauges.waiting > 0)
        seen = (tokens, replica.calls)
        if seen != self._seen or not busy:
            self._seen, self._moved_at = seen, now
        return now - self._moved_at


async def scrape(session: "aiohttp.ClientSession", replica: Replica) -> Gauges | None:
    """The engine's gauges, or None; remembers on first sight whether it has any."""
    import aiohttp

    if replica.has_metrics is False:
        return None
    timeout = aiohttp.ClientTimeout(total=max(5.0, replica.policy.scrape_seconds))
    try:
        async with session.get(f"{replica.endpoint.url}/metrics", timeout=timeout) as response:
            if response.status >= 500:
                return None
            found = read_gauges(await response.read()) if response.status == 200 else None
    except (TimeoutError, aiohttp.ClientError, OSError):
        return None
    if replica.has_metrics is None:
        replica.has_metrics = found is not None
    return found


Lose = Callable[[Group, Replica, State, str], None]


async def watch(
    session: "aiohttp.ClientSession", group: Group, replica: Replica, lose: Lose, every: float
) -> None:
    """Feed one replica's limit and feel its pulse, every `every` seconds, until cancelled."""
    loop = asyncio.get_running_loop()
    pulse = Pulse(loop.time())
    while True:
        blind = replica.endpoint.hosted or replica.has_metrics is False
        hurry = replica.limiter.starting and not blind
        await asyncio.sleep(every / _HURRY if hurry else every)
        if not replica.usable:
            replica.gauges = None
        if not replica.usable or (not replica.in_flight and replica.gauges is not None):
            pulse = Pulse(loop.time())
            continue
        if not replica.endpoint.hosted:
            replica.gauges = await scrape(session, replica)
        silent = pulse.stalled_for(replica, replica.gauges, loop.time())
        if replica.has_metrics and replica.gauges is None:
            replica.limiter.bound = False  # It answers no scrape: no time to send more.
        else:
            replica.limiter.tick(replica.gauges, replica.in_flight, loop.time())
        if replica.has_metrics and silent >= replica.policy.stall_seconds:
            detail = f"no token in {silent:.0f} s with {replica.in_flight} calls in flight"
            lose(group, replica, State.DEAD, detail)
            replica.cut_calls()
        group.dispatch(replica)
