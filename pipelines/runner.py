"""The runner: the one driver of a run. It hands ready tasks to Ray until every task has committed.

The driver keeps no state that matters: what has committed is read from the store at the start, so
killing it and submitting again is the normal way to go on.
"""

import logging
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from manifests import layout
from manifests.commits import Commit
from manifests.errors import ScriptoriumError, StoreFull
from manifests.index import build_index
from manifests.store import Store
from pipelines.backlog import Backlog
from pipelines.ceilings import Limits
from pipelines.cluster import run_map
from pipelines.crew import Crew
from pipelines.joining import Joined
from pipelines.plan import Plan
from pipelines.pool_events import PoolEvents
from pipelines.report import Options, Report
from pipelines.room import lacks_room
from pipelines.step import Task, committed_tasks
from pipelines.taking import Taking
from pipelines.work.generate import Generate, GenerateTask
from pipelines.worker import WorkerConfig, WorkerSnapshot

logger = logging.getLogger(__name__)

ALONE_AFTER = 2
"""Deaths of a task's worker after which its items are tried one by one."""
HOPELESS_AFTER = 40
"""Deaths of a task's worker after which the run stops: more than its items alone explain."""
QUARANTINE_SHARE = 0.01
QUARANTINE_FLOOR = 10
"""A run with more quarantined items than this share (and this many) stops: promise P7."""
ROOM_SECONDS = 5.0
STOP_SECONDS = 10.0

DEATHS = (RayActorError, WorkerCrashedError, OutOfMemoryError, NodeDiedError)


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
        self._crew = Crew(
            worker,
            size=options.workers,
            open_tasks=options.open_tasks,
            silence_seconds=options.silence_seconds,
        )
        self._joined = Joined(store, plan.run, worker.endpoints)
        self._events = PoolEvents(store, plan.run)
        self._running: dict[Any, tuple[Task, Any]] = {}
        """By what will be its commit: a task and its worker, None for a map task."""
        self._deaths: Counter[str] = Counter()
        self._suspects: deque[Task] = deque()
        self._full_until = 0.0
        self._stop = False
        window = options.workers * options.open_tasks
        self._taking = Taking(store, plan, window)
        self.report = Report(amounts=self._taking.amounts)

    def run(self) -> Report:
        """Run until every task has committed, or all that is wanted; or until told to stop.

        Raises:
            ScriptoriumError: What stops the whole run; everything committed stands.
        """
        committed = self._read_committed()
        self._taking.start(committed)
        self._backlog = Backlog(self._plan, committed, self._taking.quotas)
        self._limits = Limits(self._store, self._plan, self._options.ceilings)
        self.report.tasks = self._plan.tasks
        self.report.committed = sum(len(ids) for ids in committed.values())
        with _signals(self._ask_to_stop):
            try:
                self._loop()
                self._look()
            finally:
                self._crew.stop(STOP_SECONDS)
                self._limits.close()
                self._events.write()
        self.report.stopped = self._stop
        self.report.amounts = self._taking.amounts
        if not self._stop and not self.report.ceiling:
            self.report.lacking = self._taking.lacking
        self._taking.close()
        self._index()
        return self.report

    def _index(self) -> None:
        """Write the index of each step that is complete."""
        for step in self._plan.steps:
            complete = self._backlog.all_committed(step, self._plan.slices_of(step))
            if complete and not self._store.exists(layout.index_file(step.address)):
                build_index(self._store, step.address)

    def _read_committed(self) -> dict[str, set[str]]:
        return {step.address: committed_tasks(self._store, step) for step in self._plan.steps}

    def _loop(self) -> None:
        looked = 0.0
        while (self._running or self._backlog or self._suspects) and not self._ending():
            if time.monotonic() >= self._full_until and not self._short_of_room():
                self._dispatch()
            if self._limits.ended and not self._mapping():
                self.report.ceiling = self._limits.ended
                break
            if self._running:
                done, _ = ray.wait(list(self._running), num_returns=1, timeout=0.5)
                for ref in done:
                    self._settle(ref)
            else:
                time.sleep(0.2)
            if time.monotonic() - looked > 2.0:
                looked = time.monotonic()
                self._look()

    def _short_of_room(self) -> bool:
        """Whether the disk is down to its reserve: then nothing is begun for a while."""
        if not lacks_room(self._store):
            return False
        logger.warning("paused: %s is down to its reserve of free space", self._store.url)
        self._full_until = time.monotonic() + ROOM_SECONDS
        return True

    def _ending(self) -> bool:
        return self._stop or self._taking.done

    def _mapping(self) -> int:
        return sum(1 for _, worker in self._running.values() if worker is None)

    def _look(self) -> None:
        snapshots = self._crew.look()
        self._events.look(snapshots)
        self._limits.look(snapshots)
        if joined := self._joined.look():
            self._crew.join(joined)
        if (left := self._limits.left) is not None:
            self._crew.grant(left)
        self.report.worker_deaths = self._crew.deaths
        self.report.amounts = self._taking.amounts
        self._watch(self.report, snapshots)

    def _dispatch(self) -> None:
        mapping, held = self._mapping(), self._limits.held
        while mapping < self._options.map_tasks and (
            task := self._backlog.next_map(begin=not held)
        ):
            ref = run_map.remote(self._config, task.step, task.slice, self._taking.before(task))
            self._running[ref] = (task, None)
            mapping += 1
        if held:
            return
        while task := self._backlog.next_generate():
            if self._deaths[task.id] >= ALONE_AFTER:
                self._suspects.append(task)
            elif (worker := self._crew.free()) is not None:
                self._start(task, worker)
            else:
                self._backlog.put_back(task)
                break
        if self._suspects and (worker := self._crew.free_alone()) is not None:
            self._start(self._suspects.popleft(), worker, alone=True)

    def _start(self, task: Task, worker: Any, *, alone: bool = False) -> None:
        work = task.step.work
        assert isinstance(work, Generate)
        sent = GenerateTask(
            work=work,
            step=task.step.address,
            input_step=task.step.inputs[0].address,
            slice=task.slice,
            reuse=self._options.reuse,
            keep_transcripts=self._options.keep_transcripts,
            alone=alone,
        )
        self._running[self._crew.give(worker, sent)] = (task, worker)

    def _settle(self, ref: Any) -> None:
        task, worker = self._running.pop(ref)
        if worker is not None:
            self._crew.took(worker)
        try:
            commit: Commit = ray.get(ref)
        except DEATHS as death:
            self._bury(task, worker, death)
        except RayTaskError as error:
            self._raise_or_retry(task, error)
        else:
            self._count(task, commit)

    def _count(self, task: Task, commit: Commit) -> None:
        address = task.step.address
        self.report.committed += 1
        before = self.report.ledgers.get(address)
        self.report.ledgers[address] = before + commit.ledger if before else commit.ledger
        self._stop_if_poisoned(address)
        self._backlog.committed(task)
        self._taking.committed(task, commit, self._backlog)

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
        if isinstance(death, RayActorError):
            if death.actor_init_failed:  # it can never start: a bug, or code that is not there
                raise death
            self._crew.bury(worker, death)
        self._deaths[task.id] += 1
        if self._deaths[task.id] > HOPELESS_AFTER:
            raise ScriptoriumError(
                f"slice {task.slice} of {task.step.address} killed its worker {HOPELESS_AFTER} "
                f"times, the last time so: {str(death).splitlines()[0]}"
            )
        self._backlog.put_back(task)

    def _raise_or_retry(self, task: Task, error: RayTaskError) -> None:
        cause = error.cause
        if isinstance(cause, StoreFull):
            logger.warning("paused for %.0f s: %s", ROOM_SECONDS, cause)
            self._full_until = time.monotonic() + ROOM_SECONDS
            self._backlog.put_back(task)
            return
        if isinstance(cause, ScriptoriumError):
            raise cause
        raise error

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
