"""Which positions each rank takes at each step: arithmetic over the phase's segments."""

from bisect import bisect_right

import numpy as np

from manifests.order import rank_of
from manifests.resolve.types import Phase


def segment_of(phase: Phase, step: int) -> int:
    """The number of the segment that a step is in; of the last one when the phase is over."""
    starts = [segment.first_step for segment in phase.segments]
    return bisect_right(starts, step) - 1


def position_of(phase: Phase, step: int) -> int:
    """The first position of a step; that behind the last one when the phase is over."""
    segment = phase.segments[segment_of(phase, step)]
    return segment.start + (step - segment.first_step) * segment.global_batch


def micro_batches(phase: Phase, step: int, *, data_parallel: int, micro_batch: int) -> int:
    """How many micro batches a rank has in a step."""
    segment = phase.segments[segment_of(phase, step)]
    return segment.global_batch // (data_parallel * micro_batch)


def refuse_odd_batches(phase: Phase, step: int, *, data_parallel: int, micro_batch: int) -> None:
    """Raise ConfigError where a global batch, from this step on, does not divide over the ranks."""
    for segment in phase.segments[segment_of(phase, step) :]:
        rank_of(
            np.empty(0, dtype=np.int64),
            global_batch=segment.global_batch,
            data_parallel=data_parallel,
            micro_batch=micro_batch,
        )
