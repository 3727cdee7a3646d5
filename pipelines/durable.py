"""Durable completions: every answer of the teacher is asked for once and kept before it is used.

A task keeps its completions by prompt key. A key that is there is answered at once; another goes
to the teacher, and its answer is written to the store in a segment, with others, within a second
or when `FLUSH_AT` are waiting. While one flush is being written and the next is already full,
answers wait: so what a crash makes the teacher repeat is the calls in flight and at most
`UNFLUSHED` answers.

Running a generator again over the completions gives the same rows; that is all there is to
resuming.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from infra.teacher.idle import IdleSlots, Place
from manifests.completions import Completion
from manifests.errors import StoreFull
from manifests.segments import write_segment
from manifests.store import Store

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_AT = 32
UNFLUSHED = 2 * FLUSH_AT
"""The most answers of one worker that are not yet in the store: promise P2."""
FULL_STORE_SECONDS = 5.0

Ask = Callable[[], Awaitable[Completion]]
Written = TypeVar("Written")


class Journal:
    """Writes the new completions of all the tasks of one worker, batch after batch."""

    def __init__(self, store: Store, idle: IdleSlots | None = None) -> None:
        """`idle`: hears of answers that are held."""
        self._store = store
        self._idle = idle or IdleSlots()
        self._waiting: dict[str, dict[str, Completion]] = {}
        self._count = 0
        self._filling = 1
        """Number of the batch that takes answers now."""
        self._written = 0
        """Number of the last batch that is in the store."""
        self._room = asyncio.Semaphore(FLUSH_AT)
        """Places left in the batch; a semaphore, because many answers may wait for one."""
        self._some = asyncio.Event()
        self._due = asyncio.Event()
        self._done = asyncio.Condition()
        self._segments: dict[str, set[str]] = {}
        self._full_since: float | None = None
        self._failure: Exception | None = None
        self._writer = asyncio.create_task(self._write_forever())

    @property
    def store_full(self) -> bool:
        """Whether answers are being held because the store has no room."""
        return self._full_since is not None

    async def append(self, prefix: str, key: str, completion: Completion) -> None:
        """Take an answer to be written; waits while a whole flush is ahead of it."""
        with self._idle.at(Place.HELD):
            await self._room.acquire()
        if self._failure:
            self._room.release()  # the next that waits must hear of it too
            raise self._failure
        self._waiting.setdefault(prefix, {})[key] = completion
        self._count += 1
        self._some.set()
        if self._count >= FLUSH_AT:
            self._due.set()

    async def flush(self) -> None:
        """Return when everything appended before is in the store, whatever comes after."""
        last = self._filling if self._count else self._filling - 1
        if self._count:
            self._due.set()
        async with self._done:
            await self._done.wait_for(lambda: self._failure or self._written >= last)
        if self._failure:
            raise self._failure

    def forget(self, prefix: str) -> set[str]:
        """The segments written below a prefix, for the last time: its task is over."""
        return self._segments.pop(prefix, set())

    async def close(self) -> None:
        """Flush and stop."""
        try:
            await self.flush()
        finally:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer

    async def _write_forever(self) -> None:
        while not self._failure:
            await self._some.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), FLUSH_SECONDS)
            batch = self._next_batch()
            try:
                await asyncio.gather(*(self._write(p, entries) for p, entries in batch.items()))
            except Exception as failure:  # the store failed: whoever waits for it must hear of it
                self._failure = failure
                self._room.release()
            async with self._done:
                self._written += 1
                self._done.notify_all()

    def _next_batch(self) -> dict[str, dict[str, Completion]]:
        """What is to be written; the batch after it takes answers from now on."""
        batch, self._waiting = self._waiting, {}
        for _ in range(self._count):
            self._room.release()
        self._count = 0
        self._filling += 1
        self._some.clear()
        self._due.clear()
        return batch

    async def _write(self, prefix: str, entries: dict[str, Completion]) -> None:
        segment = await when_there_is_room(
            self, partial(write_segment, self._store, prefix, entries)
        )
        self._segments.setdefault(prefix, set()).add(segment)

    def note_full(self, since: float | None) -> None:
        """Remember that the store is full, or that it no longer is."""
        self._full_since = since


async def when_there_is_room(journal: Journal, write: Callable[[], Written]) -> Written:
    """Do a write in a thread and give what it gives; while the store is full, wait and try again.

    Answers that cannot be written are held, new ones wait behind them, and so the teacher is asked
    for no more: a full disk pauses a run and loses nothing.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            done = await asyncio.to_thread(write)
        except StoreFull as full:
            if not journal.store_full:
                logger.warning("paused: %s", full)
                journal.note_full(loop.time())
            await asyncio.sleep(FULL_STORE_SECONDS)
        else:
            journal.note_full(None)
            return done


class TaskCompletions:
    """The completions of one open task."""

    def __init__(
        self,
        journal: Journal,
        prefix: str,
        stored: dict[str, Completion],
        reusable: dict[str, Completion],
    ) -> None:
        self._journal = journal
        self._prefix = prefix
        self._stored = stored
        self._reusable = reusable
        self._flights: dict[str, asyncio.Future[Completion]] = {}
        self.used: dict[str, tuple[str, Completion]] = {}
        """Role and answer by key: what the rows of this task were made from."""

    async def get(self, key: str, role: str, ask: Ask) -> Completion:
        """The answer under `key`: stored, on its way, reused, or asked for now."""
        completion = self._stored.get(key)
        if completion is None:
            flight = self._flights.get(key)
            if flight is None:
                flight = asyncio.ensure_future(self._fetch(key, ask))
                self._flights[key] = flight
                flight.add_done_callback(partial(self._landed, key))
            completion = await asyncio.shield(flight)
        self.used[key] = (role, completion)
        return completion

    def _landed(self, key: str, flight: asyncio.Future[Completion]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # whoever waits raises it; asyncio need not report it again

    async def _fetch(self, key: str, ask: Ask) -> Completion:
        completion = self._reusable.get(key) or await ask()
        await self._journal.append(self._prefix, key, completion)
        self._stored[key] = completion
        return completion
