"""A phase's checkpoints while it is trained: all ranks write one, rank 0 gives it its name."""

import shutil
from dataclasses import asdict
from pathlib import Path

from manifests.errors import ScriptoriumError
from manifests.resolve.types import ORDER
from trainer.loop import checkpoint, directories
from trainer.loop.cuts import position_of, segment_of
from trainer.loop.disk import Disk
from trainer.loop.machine import Machine
from trainer.loop.state import Origin, State
from trainer.loop.task import Task


class Keeper:
    """Saves where a phase stands."""

    def __init__(
        self, task: Task, machine: Machine, disk: Disk, loss: str, origin: Origin | None
    ) -> None:
        self._task, self._machine, self._disk = task, machine, disk
        self._loss, self._origin = loss, origin
        self.saved = task.begin if task.resumed else -1
        """The step of the newest checkpoint; -1: there is none."""

    @property
    def newest(self) -> Path:
        """The newest checkpoint."""
        return directories.directory_of(self._task.checkpoints, self.saved)

    def save(self, step: int, losses: list[float]) -> None:
        """Make a checkpoint after `step` steps; all ranks call this together.

        Raises:
            StoreFull: There is no room for it; nothing is left of it.
        """
        folder, machine, disk = self._task.checkpoints, self._machine, self._disk
        part = directories.part_of(folder, step)
        with disk.noting():
            if machine.place.first:
                directories.begin(folder, step)
        self.agree(step)
        checkpoint.save(part, machine.chunks, machine.optimizer, disk)
        self.agree(step)
        with disk.noting():
            if machine.place.first:  # all others have theirs on the disk
                directories.publish(part, self._state(step, losses))
                directories.prune(folder, self._task.request.keep)
        self.agree(step)
        self.saved = step

    def agree(self, step: int) -> None:
        """End the run, on all ranks together, where the disk failed one of them; raises as `save`.

        `step` is the number of steps that are done.
        """
        task = self._task
        last = f"the last checkpoint is that of step {self.saved:,}"
        advice = "make room there and give the same command again"
        try:
            self._disk.agree(
                f"{task.folder}, after step {step:,}",
                f"{last if self.saved >= 0 else 'there is no checkpoint'}: {advice}",
            )
        except ScriptoriumError:  # on rank 0
            shutil.rmtree(directories.part_of(task.checkpoints, step), ignore_errors=True)
            raise

    def _state(self, step: int, losses: list[float]) -> State:
        task, phase, machine = self._task, self._task.phase, self._machine
        position = position_of(phase, step)
        return State(
            manifest=task.manifest.digest,
            phase=phase.name,
            segment=segment_of(phase, step),
            step=step,
            position=position,
            tokens=position * phase.sequence_length,
            order=ORDER,
            model=task.model.digest(),
            model_name=task.model_name,
            vocabulary=task.model.vocabulary or 0,
            loss=self._loss,
            precision=task.model.precision,
            seed=task.settings.model_seed,
            distributed_optimizer=machine.distributed,
            origin=self._origin,
            recent_losses=tuple(losses),
            layout=asdict(machine.place.parallel),
        )
