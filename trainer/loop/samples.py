"""Samples of a phase for this rank, in the order of its steps, and those of held-out sets."""

from collections.abc import Iterable

import numpy as np

from trainer.data.samples import PhaseData
from trainer.loop.cuts import position_of, segment_of
from trainer.loop.heldout import HeldOut
from trainer.loop.machine import Place
from trainer.loop.task import Task
from trainer.losses.batch import Batch


class Samples:
    """What one rank reads."""

    def __init__(self, task: Task, data: PhaseData, place: Place) -> None:
        self._task, self._data, self._place = task, data, place
        self._held: dict[str, PhaseData] = {}

    def batches(self, start: int, stop: int) -> Iterable[Batch]:
        """This rank's micro batches of steps from `start` up to `stop`."""
        return self._data.batches(self._positions(start, stop))

    def _positions(self, start, stop):
        task = self._task
        micro, data, rank = task.micro_batch, task.parallel.data, self._place.data_rank
        for step in range(start, stop):
            segment = task.phase.segments[segment_of(task.phase, step)]
            first = position_of(task.phase, step)
            for m in range(segment.global_batch // (data * micro)):
                at = first + (m * data + rank) * micro
                yield np.arange(at, at + micro, dtype=np.int64)

    def of(self, held: HeldOut) -> PhaseData:
        """The samples of a held-out set."""
        if held.name not in self._held:
            cache = self._task.request.cache
            self._held[held.name] = PhaseData(held.manifest, held.phase.name, cache)
        return self._held[held.name]
