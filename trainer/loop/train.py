"""A run: its phases one after another, each from what the one before it left."""

from manifests.errors import DataError
from trainer.data.probes import check_ranks
from trainer.data.samples import PhaseData
from trainer.loop import directories
from trainer.loop.directories import refuse_unwritable
from trainer.loop.disk import Disk
from trainer.loop.learning import load, objective_of, origin_of
from trainer.loop.machine import build, place_of
from trainer.loop.phase import Outcome, PhaseRun
from trainer.loop.pinning import hold, let_go
from trainer.loop.ranks import barrier, from_first
from trainer.loop.request import Request
from trainer.loop.samples import Samples
from trainer.loop.seen import forget_after
from trainer.loop.signals import Asked, listening
from trainer.loop.task import Run, Task, open_run, task_of
from trainer.model import parallel
from trainer.model.leak import check_no_leak


def train(request: Request) -> list[Outcome]:
    """Train the phases that are asked for, as far as they are not trained yet.

    Raises:
        ConfigError: What is asked for cannot be; nothing was written.
        DataError: A checkpoint or the data is broken.
    """
    run = open_run(request)
    refuse_unwritable(request.out)
    # Torch and Megatron take a while to start; what can be refused is refused before.
    task, _ = _ready(run, 0)
    parallel.start(task.parallel)
    try:
        with listening() as asked:
            return _phases(run, asked)
    finally:
        parallel.stop()


def _ready(run: Run, number: int) -> tuple[Task, PhaseData]:
    data = PhaseData(run.manifest, run.phases[number].name, run.request.cache)
    return task_of(run, run.phases[number], data.vocabulary), data


def _phases(run: Run, asked: Asked) -> list[Outcome]:
    found: list[Outcome] = []
    for number in range(len(run.phases)):
        found.append(_phase(*_ready(run, number), asked))
        if found[-1].signal:
            break
    return found


def _phase(task: Task, data: PhaseData, asked: Asked) -> Outcome:
    if task.resumed and task.begin >= task.stop:
        path, state = task.resumed
        return Outcome(
            phase=task.phase.name,
            step=state.step,
            steps=task.phase.steps,
            loss=state.recent_losses[-1] if state.recent_losses else None,
            checkpoint=str(path),
        )
    place = place_of(task.parallel)
    begin = from_first(task.begin)
    if task.begin != begin:
        raise DataError(
            f"rank {place.rank} sees a checkpoint of step {task.begin:,} in {task.checkpoints}, and"
            f" rank 0 one of step {begin:,}; all ranks have to see the same --out"
        )
    check_ranks(data)
    barrier()  # all have made their task of what was there
    disk = Disk()
    with disk.noting():
        if place.first:
            directories.clean(task.checkpoints)
            forget_after(task.folder, task.begin)
            hold(task.store, task.request.out, task.manifest.digest)
    disk.agree(f"{task.request.out}", "give an --out that can be written to, with room in it")
    machine = build(task, place)
    origin = origin_of(task, first=place.first)
    load(task, machine)
    if task.phase.train.get("mask", "document") == "document":
        check_no_leak(machine.chunks, task.phase.sequence_length, task.model.vocabulary or 0)
    objective = objective_of(task, machine, data, origin)
    outcome = PhaseRun(task, machine, objective, Samples(task, data, place), origin).go(asked)
    if place.first:
        let_go(task.store, task.request.out, task.manifest.digest)
    return outcome
