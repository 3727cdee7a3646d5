"""What a worker's tasks say of empty slots, on a clock that the tests move by hand."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from generators.asking import ask_messages
from generators.contract import Tools
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.resolve import resolve
from manifests.completions import Decoding, Message
from manifests.records import (
    Record,
    Seed,
)
from manifests.store import Store, open_store
from manifests.stores.local import LocalStore
from manifests.tables import to_table
from manifests.tokenizers import Tokenizer
from pipelines.durable import UNFLUSHED, Journal
from pipelines.work.generate import Generate, GenerateTask, run_generate
from pipelines.work.outcome import Outcome, commit_outcome
from pipelines.worker import Worker, WorkerConfig
from tests.pipelines.lamps import seed, written

INPUT = "steps/seeds@1/" + "0" * 32
HANGING = [{"kind": "hang"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCall:
    """Asks once about each seed."""

    name: str = "one_call@1"

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        asked = (Message(role="user", content=row.text),)
        text = await ask_messages(tools, asked, Decoding(temperature=1.0, max_tokens=60))
        return [written(self.name, row, [text])]


@pytest.fixture
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(Settings(slots=200, mean_tokens=10)) as running:
        yield running


class GatedStore(LocalStore):
    """Writes nothing before it is let."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def put(self, key: str, data: bytes) -> None:
        asyncio.run_coroutine_threadsafe(self.gate.wait(), self.loop).result()
        super().put(key, data)


class Clock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


Scene = Callable[[Worker, "asyncio.Task[object]", Clock], Awaitable[dict[str, float]]]


def played(
    root: Path, teacher: SimulatedTeacher, scene: Scene, *, rows: int, slots: int, items: int = 256
) -> dict[str, float]:
    """The idle slot-seconds by reason that a scene finds in a worker with one task."""
    commit_seeds(open_store(str(root)), rows)

    async def go() -> dict[str, float]:
        endpoints = await resolve([teacher.url], None)
        name = endpoints[0].teacher.name
        config = WorkerConfig(
            root=str(root),
            endpoints=endpoints,
            roles={"writer": name},
            code="this",
            items_in_flight=items,
            policy=PoolPolicy(slots=slots, limit=LimitPolicy(initial=200)),
        )
        worker = Worker(config)
        clock = worker.idle.clock = Clock()
        await worker.start()
        work = Generate(
            method=OneCall(), makes="record", teachers=(("writer", name),), tokenizer=Tokenizer()
        )
        task = GenerateTask(work=work, step="steps/s@1/" + "1" * 32, input_step=INPUT, slice=0)
        running: asyncio.Task[object] = asyncio.create_task(run_generate(task, worker))
        try:
            return await scene(worker, running, clock)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await worker.stop()

    return asyncio.run(asyncio.wait_for(go(), 60))


def commit_seeds(store: Store, rows: int) -> None:
    seeds = [seed(number) for number in range(rows)]
    table = to_table(seeds, [row.id for row in seeds], Seed)
    commit_outcome(store, INPUT, 0, Outcome(row_type="seed", table=table, rejects=()))


def asked(worker: Worker) -> int:
    return worker.allowance.asking


def found(worker: Worker) -> dict[str, float]:
    told = worker.snapshot().pool.idle
    assert told.asked_seconds + sum(told.idle_seconds.values()) == told.slot_seconds
    return {reason: seconds for reason, seconds in told.idle_seconds.items() if seconds}


def test_answers_that_a_flush_holds_are_the_writers(
    tmp_path: Path, teacher: SimulatedTeacher
) -> None:
    held, slots = 36, 30

    async def scene(
        worker: Worker, running: "asyncio.Task[object]", clock: Clock
    ) -> dict[str, float]:
        await worker.journal.close()
        store = GatedStore(tmp_path)
        worker.journal = Journal(store, worker.idle)
        while worker.allowance.asked_tokens == 0 or asked(worker):
            await asyncio.sleep(0.01)
        clock.now = 10.0
        seconds = found(worker)
        store.gate.set()
        await running
        return seconds

    seconds = played(tmp_path, teacher, scene, rows=UNFLUSHED + held, slots=slots)
    assert seconds == {"writer": 10.0 * slots}


def test_fewer_items_than_slots_are_a_tail(tmp_path: Path, teacher: SimulatedTeacher) -> None:
    teacher.faults(HANGING)

    async def scene(
        worker: Worker, running: "asyncio.Task[object]", clock: Clock
    ) -> dict[str, float]:
        while asked(worker) < 3:
            await asyncio.sleep(0.01)
        clock.now = 10.0
        return found(worker)

    assert played(tmp_path, teacher, scene, rows=3, slots=5) == {"tail": 20.0}


def test_items_that_may_not_begin_are_a_limit(tmp_path: Path, teacher: SimulatedTeacher) -> None:
    teacher.faults(HANGING)

    async def scene(
        worker: Worker, running: "asyncio.Task[object]", clock: Clock
    ) -> dict[str, float]:
        while asked(worker) < 3:
            await asyncio.sleep(0.01)
        clock.now = 10.0
        return found(worker)

    seconds = played(tmp_path, teacher, scene, rows=7, slots=10, items=3)
    assert seconds == {"limit": 40.0, "tail": 30.0}


def test_a_worker_whose_allowance_is_used_up_is_at_a_limit(
    tmp_path: Path, teacher: SimulatedTeacher
) -> None:
    async def scene(
        worker: Worker, running: "asyncio.Task[object]", clock: Clock
    ) -> dict[str, float]:
        worker.allowance.grant(1)
        while not worker.allowance.asked_tokens or asked(worker):
            await asyncio.sleep(0.01)
        clock.now = 10.0
        return found(worker)

    # One item at once: the first is answered, the second is held, the third has not begun.
    seconds = played(tmp_path, teacher, scene, rows=3, slots=4, items=1)
    assert seconds == {"limit": 20.0, "tail": 20.0}
