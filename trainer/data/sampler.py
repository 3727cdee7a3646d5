"""Which positions a rank takes at a step, and its micro batches in order, from any step on.

All is arithmetic over the phase's segments, so nothing but the step has to be kept to go on: at
another number of ranks, or of loader workers, too.
"""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError, ScriptoriumError
from manifests.order import PhaseOrder, rank_of
from manifests.resolve.types import Segment
from trainer.data.batch import Batch
from trainer.data.samples import Located, PhaseData

Ints = npt.NDArray[np.int64]

PREFETCH = 2
"""Micro batches that each worker keeps ready."""


def positions_of(
    step: int, *, data_rank: int, data_size: int, micro_batch: int, order: PhaseOrder
) -> Ints:
    """[M, micro_batch]: what a data-parallel rank takes at a step, by micro step.

    As `manifests.order.rank_of` deals a global batch out, and `manifest where` shows it.

    Raises:
        ConfigError: There is no such step or rank, or the global batch does not divide.
    """
    phase = order.phase
    if not 0 <= step < phase.steps:
        raise ConfigError(f"step {step}: phase {phase.name} has steps 0 to {phase.steps - 1:,}")
    segment = next(one for one in reversed(phase.segments) if one.first_step <= step)
    _refuse_odd_cuts(segment, data_rank, data_size, micro_batch)
    first = segment.start + (step - segment.first_step) * segment.global_batch
    micro_steps = segment.global_batch // (data_size * micro_batch)
    begins = first + (np.arange(micro_steps) * data_size + data_rank) * micro_batch
    return begins[:, None] + np.arange(micro_batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatches:
    """The positions of a rank's micro batches, one array each, of steps `start` to `stop`."""

    order: PhaseOrder
    start: int
    stop: int
    data_rank: int
    data_size: int
    micro_batch: int

    def __iter__(self) -> Iterator[Ints]:
        for step in range(self.start, self.stop):
            yield from positions_of(
                step,
                data_rank=self.data_rank,
                data_size=self.data_size,
                micro_batch=self.micro_batch,
                order=self.order,
            )


def load(
    data: PhaseData,
    rows: Iterable[Ints],
    *,
    workers: int = 0,
    prefetch: int = PREFETCH,
    start_method: str = "forkserver",
) -> Iterator[Batch]:
    """A batch for each array of positions, in their order however many processes read.

    Workers share the machine's cache and open their files themselves. They end when the iterator is
    closed, or this process is gone; signals to stop are this process's to act on.

    Raises:
        DataError: A file is missing or broken.
    """
    if not workers:
        yield from data.batches(rows)
        return
    from torch.utils.data import DataLoader

    if start_method == "forkserver":
        import multiprocessing

        modules = ["torch.utils.data", "trainer.data.sampler"]
        multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
    loader = DataLoader(
        _Reader(data),
        sampler=_Located(data, rows),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=prefetch,
        multiprocessing_context=start_method,
        worker_init_fn=_leave_signals,
    )
    for found in loader:
        if isinstance(found, ScriptoriumError):
            raise found
        yield found


class _Reader:
    """Batches by where their samples are, for a worker. A broken file is an answer: raised in a
    worker it would lose its one-line message.
    """

    def __init__(self, data: PhaseData) -> None:
        self._data = data

    def __getitem__(self, located: Located) -> Batch | ScriptoriumError:
        try:
            return self._data.assemble(located)
        except ScriptoriumError as error:
            return error


class _Located:
    """Located here, many at once, so that workers are left with what takes time."""

    def __init__(self, data: PhaseData, rows: Iterable[Ints]) -> None:
        self._data, self._rows = data, rows

    def __iter__(self) -> Iterator[Located]:
        return self._data.located(self._rows)


def _as_it_is(found: Batch | ScriptoriumError) -> Batch | ScriptoriumError:
    return found


def _leave_signals(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _refuse_odd_cuts(segment: Segment, data_rank: int, data_size: int, micro_batch: int) -> None:
    if not 0 <= data_rank < data_size:
        raise ConfigError(f"rank {data_rank}: there are ranks 0 to {data_size - 1}")
    rank_of(
        np.zeros(0, dtype=np.int64),
        global_batch=segment.global_batch,
        data_parallel=data_size,
        micro_batch=micro_batch,
    )
