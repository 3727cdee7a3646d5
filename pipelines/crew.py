"""The generate workers of a run: who is free, who died, who hangs.

A worker whose event loop does not answer hangs, for whatever one item made it do; it is killed,
which makes it the death that the runner knows how to handle. Suspects, the tasks whose worker died
again and again, go one at a time to a worker of their own.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from infra.teacher.models import Endpoint
from pipelines.cluster import GenerateWorker
from pipelines.work.generate import GenerateTask
from pipelines.worker import WorkerConfig, WorkerSnapshot

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Crew:
    """Workers are started when they are first needed."""

    def __init__(
        self, config: WorkerConfig, *, size: int, open_tasks: int, silence_seconds: float
    ) -> None:
        """`silence_seconds`: how long a worker may not answer before it is taken for hung."""
        self._config = config
        self._size = size
        self._open_tasks = open_tasks
        self._silence = silence_seconds
        self._workers: list[Any] = []
        self._alone: Any = None
        self._load: Counter[Any] = Counter()
        self._asked: dict[Any, tuple[Any, float]] = {}
        self._known: dict[Any, WorkerSnapshot] = {}
        """What workers last answered: one that has not, and is still starting, does not hang."""
        self.deaths = 0

    def free(self) -> Any:
        """The worker with the fewest open tasks, or None when all have enough."""
        if not self._workers:
            self._workers = [self._start() for _ in range(self._size)]
        worker = min(self._workers, key=self._load.__getitem__)
        return worker if self._load[worker] < self._open_tasks else None

    def free_alone(self) -> Any:
        """The worker for suspects, or None when it has one: only so is it known who killed it."""
        self._alone = self._alone or self._start()
        return None if self._load[self._alone] else self._alone

    def give(self, worker: Any, task: GenerateTask) -> Any:
        """Hand a task to a worker; what will be its commit."""
        self._load[worker] += 1
        return worker.run.remote(task)

    def took(self, worker: Any) -> None:
        """A worker is done with a task, well or not."""
        if worker in self._load:
            self._load[worker] -= 1

    def bury(self, worker: Any, death: RayActorError) -> None:
        """Put another in the place of a worker that died; once, however often it is told."""
        if worker in self._workers:
            self._workers[self._workers.index(worker)] = self._start()
        elif worker is self._alone:
            self._alone = None
        else:
            return
        self.deaths += 1
        logger.warning("a worker died and is replaced: %s", str(death).splitlines()[0])
        self._load.pop(worker, None)
        self._asked.pop(worker, None)
        self._known.pop(worker, None)
        ray.kill(worker)  # one that only seemed dead must not go on

    def look(self) -> list[WorkerSnapshot]:
        """What the workers do; buries those that died idle, and kills those that hang."""
        for worker in self._all():
            if worker not in self._asked:
                self._ask(worker)
        waiting = {ref: worker for worker, (ref, _) in self._asked.items()}
        done, silent = ray.wait(list(waiting), num_returns=len(waiting), timeout=LOOK_SECONDS)
        for ref in silent:
            self._kill_if_hung(waiting[ref])
        return [found for ref in done if (found := self._heard(waiting[ref], ref)) is not None]

    def grant(self, tokens: int) -> None:
        """Let the workers ask for so many tokens more, each for an equal part."""
        share = -(-tokens // max(1, len(self._known)))
        for worker, snapshot in self._known.items():
            worker.grant.remote(snapshot.asked_tokens + share)

    def join(self, endpoints: Sequence[Endpoint]) -> None:
        """Let these teach as well: in the workers that are there, and in those to come."""
        known = [*self._config.endpoints, *endpoints]
        self._config = replace(self._config, endpoints=known)
        for worker in self._all():
            worker.join.remote(endpoints)

    def stop(self, seconds: float) -> None:
        """Have every answer written down and the teacher let go, if that can be had in time."""
        refs = [worker.stop.remote() for worker in self._all()]
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=seconds)

    def _start(self) -> Any:
        """Another worker; asked how it does before it has an item, for the first may hang it."""
        worker = GenerateWorker.remote(self._config)
        self._ask(worker)
        return worker

    def _ask(self, worker: Any) -> None:
        self._asked[worker] = (worker.snapshot.remote(), time.monotonic())

    def _all(self) -> list[Any]:
        return [*self._workers, *([self._alone] if self._alone is not None else [])]

    def _heard(self, worker: Any, ref: Any) -> WorkerSnapshot | None:
        del self._asked[worker]
        try:
            snapshot: WorkerSnapshot = ray.get(ref)
        except RayActorError as death:
            self.bury(worker, death)
            return None
        except RayTaskError:
            return None  # it could not start, and its tasks say why
        self._known[worker] = snapshot
        return snapshot

    def _kill_if_hung(self, worker: Any) -> None:
        silent = time.monotonic() - self._asked[worker][1]
        if worker in self._known and silent > self._silence:
            logger.warning("a worker has not answered for %.0f s and is killed", silent)
            ray.kill(worker)
            self._ask(worker)
