"""Samples of a phase for this rank, in the order of its steps, and those of held-out sets."""

from collections.abc import Iterator

from trainer.data.batch import Batch
from trainer.data.sampler import MicroBatches, load
from trainer.data.samples import PhaseData
from trainer.loop.heldout import HeldOut
from trainer.loop.machine import Place
from trainer.loop.task import Task


class Samples:
    """What one rank reads."""

    def __init__(self, task: Task, data: PhaseData, place: Place) -> None:
        self._task, self._data, self._place = task, data, place
        self._held: dict[str, PhaseData] = {}

    def batches(self, start: int, stop: int, *, ahead: bool = True) -> Iterator[Batch]:
        """This rank's micro batches of steps from `start` up to `stop`; `ahead` says whether the
        processes that were asked for read them ahead.
        """
        rows = MicroBatches(
            order=self._data.order,
            start=start,
            stop=stop,
            data_rank=self._place.data_rank,
            data_size=self._place.parallel.data,
            micro_batch=self._task.micro_batch,
        )
        return load(self._data, rows, workers=self._task.request.workers if ahead else 0)

    def of(self, held: HeldOut) -> PhaseData:
        """The samples of a held-out set."""
        if held.name not in self._held:
            cache = self._task.request.cache
            self._held[held.name] = PhaseData(held.manifest, held.phase.name, cache)
        return self._held[held.name]
