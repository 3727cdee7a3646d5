"""Samples of a phase for this rank, in the order of its steps, and those of held-out sets."""

from collections.abc import Iterable, Iterator

import numpy as np

from manifests.build.probes import probe_digest
from manifests.errors import DataError
from manifests.segment_order import Ints
from trainer.data.samples import PhaseData
from trainer.loop.cuts import position_of
from trainer.loop.heldout import HeldOut
from trainer.loop.machine import Place
from trainer.loop.ranks import agree
from trainer.loop.task import Task
from trainer.losses.batch import Batch


def check_order(data: PhaseData) -> None:
    """Raise DataError, on all ranks, where one computes another order than the manifest's."""
    manifest, phase = data.manifest, data.phase
    mine = probe_digest(
        phase,
        data.order,
        lambda table: manifest.rows(table, ["sha256", "tokens"]),
        manifest.windows,
    )
    agree(f"phase {phase.name}: its order", mine)
    if mine != manifest.root.probes[phase.name]:
        raise DataError(
            f"phase {phase.name}: its order is not the one that manifest sha256:"
            f"{manifest.digest[:12]} fixed; run manifest verify"
        )


class Samples:
    """What one rank reads."""

    def __init__(self, task: Task, data: PhaseData, place: Place) -> None:
        self._task, self._data, self._place = task, data, place
        self._held: dict[str, PhaseData] = {}

    def batches(self, start: int, stop: int) -> Iterable[Batch]:
        """This rank's micro batches of steps from `start` up to `stop`."""
        return self._data.batches(self._positions(start, stop))

    def _positions(self, start: int, stop: int) -> Iterator[Ints]:
        task = self._task
        phase, size, ranks = task.phase, task.micro_batch, task.parallel.data
        for step in range(start, stop):
            first, after = position_of(phase, step), position_of(phase, step + 1)
            mine = first + self._place.data_rank * size
            for low in range(mine, after, ranks * size):
                yield np.arange(low, low + size, dtype=np.int64)

    def of(self, held: HeldOut) -> PhaseData:
        """The samples of a held-out set."""
        if held.name not in self._held:
            cache = self._task.request.cache
            self._held[held.name] = PhaseData(held.manifest, held.phase.name, cache)
        return self._held[held.name]
