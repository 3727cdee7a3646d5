"""The runner: the one driver of a run. It hands ready tasks to Ray until every task has committed.

A task is ready when the tasks of the same slice of its input steps have committed; nothing waits
for a whole step. The driver keeps no state that matters: what has committed is read from the store
at the start, so killing it and submitting again is the normal way to go on.
"""

import logging
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError, WorkerCrashedError

from manifests import layout
from manifests.commits import Commit, Ledger
from manifests.errors import ScriptoriumError, StoreFull
from manifests.store import Store
from pipelines.cluster import GenerateWorker, run_map
from pipelines.plan import Plan
from pipelines.step import Step, Task
from pipelines.work.generate import Generate, GenerateTask
from pipelines.worker import WorkerConfig, WorkerSnapshot

logger = logging.getLogger(__name__)

ALONE_AFTER = 2
"""Deaths of a task's worker after which its items are tried one by one."""
QUARANTINE_SHARE = 0.01
QUARANTINE_FLOOR = 10
"""A run with more quarantined items than this share (and this many) stops: promise P7."""
ROOM_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is executed; none of it bears on what is written."""

    workers: int = 1
    open_tasks: int = 4
    """Tasks open at once in each generate worker."""
    map_tasks: int = 2
    reuse: tuple[str, ...] = ()
    keep_transcripts: bool = True


@dataclass(slots=True)
class Report:
    """What a run came to."""

    tasks: int = 0
    committed: int = 0
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    """By step address, of the tasks that committed in this run."""
    stopped: bool = False
    worker_deaths: int = 0


Watch = Callable[[Report, Sequence[WorkerSnapshot]], None]


class Runner:
    """Runs one plan."""

    def __init__(
        self, store: Store, plan: Plan, worker: WorkerConfig, options: Options, watch: Watch
    ) -> None:
        self._store = store
        self._plan = plan
        self._config = worker
        self._options = options
        self._watch = watch
        self._workers: list[Any] = []
        self._alone: Any = None
        self._load: Counter[Any] = Counter()
        self._running: dict[Any, tuple[Task, Any]] = {}
        self._deaths: Counter[str] = Counter()
        self._maps: deque[Task] = deque()
        self._generates: deque[Task] = deque()
        self._stop = False
        self.report = Report()

    def run(self) -> Report:
        """Run until every task has committed, or until told to stop.

        Raises:
            ScriptoriumError: What stops the whole run; everything committed stands.
        """
        self._committed = self._read_committed()
        self._needed_by = self._dependants()
        for slice_index in range(self._plan.slices):
            for step in self._plan.steps:
                self._admit(Task(step, slice_index))
        self.report.tasks = len(self._plan.steps) * self._plan.slices
        with _signals(self._ask_to_stop):
            try:
                self._loop()
            finally:
                self._stop_workers()
        self.report.stopped = self._stop
        return self.report

    def _read_committed(self) -> dict[str, set[str]]:
        found = {}
        for step in self._plan.steps:
            prefix = layout.commits_prefix(step.address)
            keys = self._store.list(prefix)
            found[step.address] = {key.removeprefix(prefix).removesuffix(".json") for key in keys}
        self.report.committed = sum(len(ids) for ids in found.values())
        return found

    def _dependants(self) -> dict[str, list[Step]]:
        needed_by: dict[str, list[Step]] = {step.address: [] for step in self._plan.steps}
        for step in self._plan.steps:
            for needed in step.inputs:
                needed_by[needed.address].append(step)
        return needed_by

    def _admit(self, task: Task) -> None:
        """Queue a task if it has not committed and its inputs have."""
        if task.id in self._committed[task.step.address]:
            return
        inputs = (Task(step, task.slice) for step in task.step.inputs)
        if all(needed.id in self._committed[needed.step.address] for needed in inputs):
            (self._generates if task.step.asks_teacher else self._maps).append(task)

    def _loop(self) -> None:
        looked = 0.0
        while (self._running or self._maps or self._generates) and not self._stop:
            self._dispatch()
            done, _ = ray.wait(list(self._running), num_returns=1, timeout=0.5)
            for ref in done:
                self._settle(ref)
            if time.monotonic() - looked > 2.0:
                looked = time.monotonic()
                self._watch(self.report, self._snapshots())

    def _dispatch(self) -> None:
        mapping = sum(1 for _, worker in self._running.values() if worker is None)
        while self._maps and mapping < self._options.map_tasks:
            task = self._maps.popleft()
            ref = run_map.remote(self._config.root, task.step, task.slice)
            self._running[ref] = (task, None)
            mapping += 1
        if self._generates and not self._workers:
            self._workers = [self._new_worker() for _ in range(self._options.workers)]
        while self._generates:
            worker = min(self._workers, key=self._load.__getitem__)
            if self._load[worker] >= self._options.open_tasks:
                return
            self._start(self._generates.popleft(), worker)

    def _start(self, task: Task, worker: Any) -> None:
        work = task.step.work
        assert isinstance(work, Generate)
        alone = self._deaths[task.id] >= ALONE_AFTER
        if alone:
            self._alone = worker = self._alone or self._new_worker()
        sent = GenerateTask(
            work=work,
            step=task.step.address,
            input_step=task.step.inputs[0].address,
            slice=task.slice,
            reuse=self._options.reuse,
            keep_transcripts=self._options.keep_transcripts,
            alone=alone,
        )
        self._running[worker.run.remote(sent)] = (task, worker)
        self._load[worker] += 1

    def _new_worker(self) -> Any:
        return GenerateWorker.remote(self._config)

    def _settle(self, ref: Any) -> None:
        task, worker = self._running.pop(ref)
        if worker is not None:
            self._load[worker] -= 1
        try:
            commit: Commit = ray.get(ref)
        except (RayActorError, WorkerCrashedError) as death:
            self._bury(task, worker, death)
        except RayTaskError as error:
            self._raise_or_retry(task, error)
        else:
            self._count(task, commit)

    def _count(self, task: Task, commit: Commit) -> None:
        address = task.step.address
        self._committed[address].add(task.id)
        self.report.committed += 1
        before = self.report.ledgers.get(address)
        self.report.ledgers[address] = before + commit.ledger if before else commit.ledger
        self._stop_if_poisoned(address)
        for step in self._needed_by[address]:
            self._admit(Task(step, task.slice))

    def _stop_if_poisoned(self, address: str) -> None:
        ledger = self.report.ledgers[address]
        limit = max(QUARANTINE_FLOOR, QUARANTINE_SHARE * ledger.planned)
        if ledger.quarantined > limit:
            raise ScriptoriumError(
                f"{address}: {ledger.quarantined} of {ledger.planned} items are in quarantine, "
                f"more than {QUARANTINE_SHARE:.0%}: see `show --rejects`, then mend the method"
            )

    def _bury(self, task: Task, worker: Any, death: Exception) -> None:
        """A worker died: put another in its place and its tasks back into the queue."""
        self._deaths[task.id] += 1
        if worker in self._workers:
            self._workers[self._workers.index(worker)] = self._new_worker()
            self.report.worker_deaths += 1
            logger.warning("a worker died and is replaced: %s", str(death).splitlines()[0])
        elif worker is not None and worker is self._alone:
            self._alone = None
            self.report.worker_deaths += 1
        (self._maps if worker is None else self._generates).appendleft(task)

    def _raise_or_retry(self, task: Task, error: RayTaskError) -> None:
        cause = error.cause
        if isinstance(cause, StoreFull):
            logger.warning("paused: %s", cause)
            time.sleep(ROOM_SECONDS)
            self._maps.appendleft(task)
            return
        if isinstance(cause, ScriptoriumError):
            raise cause
        raise error

    def _snapshots(self) -> list[WorkerSnapshot]:
        refs = [worker.snapshot.remote() for worker in self._workers]
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=1.0) if refs else ([], [])
        found = []
        for ref in done:
            try:
                found.append(ray.get(ref))
            except (RayActorError, RayTaskError):
                continue  # its tasks tell the same story, and they are settled
        return found

    def _stop_workers(self) -> None:
        workers = [*self._workers, *([self._alone] if self._alone else [])]
        refs = [worker.stop.remote() for worker in workers]
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=10.0)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = True


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask the run to stop, while it runs."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
