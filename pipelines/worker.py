"""A generate worker: one asyncio loop that keeps the teacher busy over several open tasks."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from infra.sandbox.bubblewrap import Sandbox
from infra.teacher.models import Endpoint
from infra.teacher.policy import PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.snapshot import PoolSnapshot
from manifests.store import open_store
from pipelines.allowance import Allowance
from pipelines.durable import Journal
from pipelines.room import Room
from pipelines.tries import Tries


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is made from; it travels to another process."""

    root: str
    endpoints: Sequence[Endpoint]
    roles: Mapping[str, str]
    """Role to `model@revision`."""
    code: str
    """`pipelines.plan.code_version` of the driver: its workers must run the same."""
    items_in_flight: int = 256
    """Rows worked on at once, over all open tasks."""
    bounded: bool = False
    """Whether it asks only as much as its driver grants."""
    policy: PoolPolicy = field(default_factory=PoolPolicy)


@dataclass(slots=True)
class ItemCounts:
    """Items finished since the worker started."""

    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """What a worker is doing now."""

    name: str
    """Of this very process."""
    open_tasks: int
    accepted: int
    rejected: int
    asked_tokens: int
    """Written by teachers for this worker."""
    asking: int
    """Calls that are not answered yet."""
    store_full: bool
    pool: PoolSnapshot


class Worker:
    """Everything the tasks of one process share. Made inside a running event loop."""

    def __init__(self, config: WorkerConfig) -> None:
        self.store = open_store(config.root)
        self.pool = TeacherPool(config.endpoints, config.roles, config.policy)
        self.idle = self.pool.idle
        self.journal = Journal(self.store, self.idle)
        self.room = Room(self.store)
        self.sandbox = Sandbox()
        self.items = asyncio.Semaphore(config.items_in_flight)
        self.tries = Tries(self.store)
        self.allowance = Allowance(bounded=config.bounded, idle=self.idle)
        self._name = secrets.token_hex(8)
        self.counts = ItemCounts()
        self.running: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        """Open the connections to the teacher."""
        await self.pool.__aenter__()

    def snapshot(self) -> WorkerSnapshot:
        """What this worker is doing now."""
        return WorkerSnapshot(
            name=self._name,
            open_tasks=len(self.running),
            accepted=self.counts.accepted,
            rejected=self.counts.rejected,
            asked_tokens=self.allowance.asked_tokens,
            asking=self.allowance.asking,
            store_full=self.journal.store_full or self.room.lacking,
            pool=self.pool.snapshot(),
        )

    async def stop(self) -> None:
        """Admit nothing more, write down every answer that is there, let go of the teacher."""
        for task in self.running:
            task.cancel()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.journal.close(), 10.0)
        finally:
            await self.room.close()
            await self.pool.__aexit__(None, None, None)
