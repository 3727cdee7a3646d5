"""Ray: where tasks run. It places workers; what is true lies in the store, not here."""

import asyncio
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray

from infra.teacher.models import Endpoint
from manifests.commits import Commit
from manifests.errors import ConfigError
from manifests.store import open_store
from pipelines.plan import code_version
from pipelines.step import Step
from pipelines.work.generate import Generate, GenerateTask, run_generate
from pipelines.work.outcome import commit_outcome
from pipelines.work.take import Take
from pipelines.worker import Worker, WorkerConfig, WorkerSnapshot

REPOSITORY = Path(__file__).parents[1]
CPU_SHARE = 0.5
"""Of a core, for every worker: two cores must be able to run all kinds of work at once."""
NOT_GENERATING = 2
"""Workers that must have room beside those that generate: one for maps, one for suspects."""

logger = logging.getLogger(__name__)


@contextmanager
def connected(workers: int) -> Iterator[None]:
    """Join the cluster that `RAY_ADDRESS` names (a submitted job's own), or start a local one."""
    with redirect_stdout(sys.stderr):  # Ray's own threads print, and stdout is for results
        _connect(cpus=CPU_SHARE * (workers + NOT_GENERATING))
        try:
            yield
        finally:
            ray.shutdown()


def _connect(cpus: float) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # When one task stops the run, what the others then say is noise.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
        there = ray.cluster_resources().get("CPU", 0.0)
        if there < cpus:
            logger.warning(
                "the run wants %g CPUs and the cluster has %g: unless it grows, some workers wait "
                "for room; give fewer --workers",
                cpus,
                there,
            )
        return
    # That a local cluster has token authentication on is as it should be, and no news.
    setup = "ray._private.authentication.authentication_token_setup"
    logging.getLogger(setup).setLevel(logging.ERROR)
    # A driver started with -m adds no folder to the workers' path.
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    ray.init(
        address="local",  # never a cluster that happens to be, or to have been, on this machine
        num_cpus=max(len(os.sched_getaffinity(0)), math.ceil(cpus)),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
        runtime_env={"env_vars": {"PYTHONPATH": paths}},
    )


def _check_code(config: WorkerConfig) -> None:
    """Refuse to write data with other code than the step's note says."""
    if (here := code_version()) != config.code:
        raise ConfigError(
            f"a worker has other code ({here[:12]}) than the driver ({config.code[:12]}): start the"
            " run with `ray job submit --working-dir .`, which brings the code to the workers"
        )


def _run_map(config: WorkerConfig, step: Step, slice_index: int, before: int) -> Commit:
    """Run a map task to its commit; `before`: what was taken of earlier slices."""
    _check_code(config)
    store = open_store(config.root)
    assert not isinstance(step.work, Generate)
    inputs = [needed.address for needed in step.inputs]
    if isinstance(step.work, Take):
        outcome = step.work.run(store, inputs, slice_index, before)
    else:
        outcome = step.work.run(store, inputs, slice_index)
    commit, _ = commit_outcome(store, step.address, slice_index, outcome)
    return commit


class _GenerateWorker:
    """A `Worker` as a Ray actor."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._worker: Worker | None = None
        self._starting = asyncio.Lock()

    async def run(self, task: GenerateTask) -> Commit:
        """Run a generate task to its commit."""
        worker = await self._started()
        running: asyncio.Task[Any] = asyncio.ensure_future(run_generate(task, worker))
        worker.running.add(running)
        try:
            commit: Commit = await running
            return commit
        finally:
            worker.running.discard(running)

    async def snapshot(self) -> WorkerSnapshot:
        """What this worker is doing now."""
        return (await self._started()).snapshot()

    async def join(self, endpoints: Sequence[Endpoint]) -> None:
        """Ask these teachers as well from now on."""
        (await self._started()).pool.join(endpoints)

    async def grant(self, tokens: int) -> None:
        """Let it ask until teachers have written so many tokens for it."""
        (await self._started()).allowance.grant(tokens)

    async def stop(self) -> None:
        """Write down every answer that is there and let go of the teacher."""
        if self._worker is not None:
            await self._worker.stop()

    async def _started(self) -> Worker:
        async with self._starting:
            if self._worker is None:
                _check_code(self._config)
                worker = Worker(self._config)
                await worker.start()
                self._worker = worker
            return self._worker


run_map: Any = ray.remote(num_cpus=CPU_SHARE, max_retries=0)(_run_map)
GenerateWorker: Any = ray.remote(
    num_cpus=CPU_SHARE, max_restarts=0, max_task_retries=0, max_concurrency=1024
)(_GenerateWorker)
