"""How much a worker may still ask: where tokens are bounded, its driver grants them piece by piece.

A call begins only below the bound, so what overshoots it is the calls that were in flight.
"""

import asyncio
from collections.abc import Awaitable, Callable

from infra.teacher.idle import IdleSlots, Place
from manifests.completions import Completion


class Allowance:
    """Counts the tokens that teachers wrote for one worker; holds calls back beyond its grant."""

    def __init__(self, *, bounded: bool, idle: IdleSlots) -> None:
        """`bounded`: nothing may be asked before the first grant."""
        self._idle = idle
        self._most: int | None = 0 if bounded else None
        self._more = asyncio.Event()
        self.asked_tokens = 0
        """Of all answers so far."""
        self.asking = 0
        """Calls that have begun and are not answered."""

    async def ask(self, call: Callable[[], Awaitable[Completion]]) -> Completion:
        """Make a call once it is allowed."""
        while self._most is not None and self.asked_tokens >= self._most:
            self._more.clear()
            with self._idle.at(Place.WAITING):
                await self._more.wait()
        self.asking += 1
        try:
            completion = await call()
        finally:
            self.asking -= 1
        self.asked_tokens += completion.usage.completion_tokens
        return completion

    def grant(self, most: int) -> None:
        """Let calls begin until `most` tokens have been answered since the worker started."""
        self._most = most
        self._more.set()
