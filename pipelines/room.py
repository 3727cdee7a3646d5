"""The reserve: no call begins while the store's disk has less room than what is kept free.

What was asked can still be written, from the reserve, so that a disk that fills up pauses the run
before anything fails on it (promise P8). Buckets have no end and no reserve.
"""

import asyncio
import logging
from contextlib import suppress

from manifests.store import Store

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RESERVE_SHARE = 0.05
"""Of the disk that is kept free. [I]"""
RESERVE_BYTES = 2 * 1024**3
"""More than this is never kept free. [I]"""


def lacks_room(store: Store) -> bool:
    """Whether the store's disk is down to its reserve."""
    room = store.room()
    return room is not None and room.free < min(RESERVE_BYTES, RESERVE_SHARE * room.total)


class Room:
    """Holds calls back while the disk is down to its reserve. Made inside a running event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._enough = asyncio.Event()
        self._enough.set()
        self._watcher = asyncio.create_task(self._watch())

    @property
    def lacking(self) -> bool:
        """Whether calls are held back."""
        return not self._enough.is_set()

    async def wait(self) -> None:
        """Return once there is room."""
        await self._enough.wait()

    async def close(self) -> None:
        """Stop looking."""
        self._watcher.cancel()
        with suppress(asyncio.CancelledError):
            await self._watcher

    async def _watch(self) -> None:
        while True:
            lacks = await asyncio.to_thread(lacks_room, self._store)
            if lacks and not self.lacking:
                logger.warning("paused: %s is down to its reserve of free space", self._store.url)
                self._enough.clear()
            elif not lacks and self.lacking:
                logger.info("resumed: %s has room again", self._store.url)
                self._enough.set()
            await asyncio.sleep(LOOK_SECONDS)
