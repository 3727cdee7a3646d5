"""The order of a phase: its segments one behind the other, each in an order of its own."""

import numpy as np

from manifests.errors import ConfigError
from manifests.resolve.types import Phase
from manifests.segment_order import Ints, LoadHoles, Places, SegmentOrder, column, empty_places

__all__ = ["LoadHoles", "PhaseOrder", "Places", "SegmentOrder", "rank_of"]


class PhaseOrder:
    """The order of a whole phase."""

    def __init__(self, phase: Phase, seed: int, holes: LoadHoles) -> None:
        self.phase = phase
        self.segments = tuple(
            SegmentOrder(phase.name, segment, seed, holes, number=number)
            for number, segment in enumerate(phase.segments)
        )
        self._stops = column(segment.stop for segment in phase.segments)

    def places(self, positions: Ints) -> Places:
        """The samples at these positions, in any order.

        Raises:
            IndexError: a position that the phase does not have.
        """
        segment = self._segment_of(positions)
        if len(segment) and segment[0] == segment.min() == segment.max():
            return self.segments[int(segment[0])].places(positions)
        found = empty_places(segment)
        for number in np.unique(segment).tolist():
            at = np.flatnonzero(segment == number)
            part = self.segments[number].places(positions[at])
            found.supply[at], found.in_head[at] = part.supply, part.in_head
            found.epoch[at], found.sample[at] = part.epoch, part.sample
        return found

    def positions(self, segment: int, supply: int, in_head: bool, sample: int) -> Ints:
        """Every position at which a sample is trained on within a segment, in order."""
        return self.segments[segment].positions(supply, in_head, sample)

    def occurrences(
        self, segment: int, supply: int, in_head: bool, samples: Ints
    ) -> tuple[Ints, Ints]:
        """As `SegmentOrder.occurrences`."""
        return self.segments[segment].occurrences(supply, in_head, samples)

    def counts(self, position: int) -> tuple[Ints, ...]:
        """How many samples of each supply, by segment, stand before a position or the end."""
        if not 0 <= position <= self.phase.samples:
            raise IndexError(f"position {position} of {self.phase.samples}")
        spans = [(order, order.segment.start, order.segment.stop) for order in self.segments]
        return tuple(order.counts(min(max(position, low), high)) for order, low, high in spans)

    def steps_of(self, positions: Ints) -> tuple[Ints, Ints]:
        """The step of each position, and its index in the global batch."""
        segment = self._segment_of(positions)
        start = column(one.start for one in self.phase.segments)[segment]
        first_step = column(one.first_step for one in self.phase.segments)[segment]
        batch = column(one.global_batch for one in self.phase.segments)[segment]
        step, index = np.divmod(positions - start, batch)
        return step + first_step, index

    def _segment_of(self, positions: Ints) -> Ints:
        if len(positions) and (positions.min() < 0 or positions.max() >= self.phase.samples):
            raise IndexError(f"positions outside of 0 to {self.phase.samples - 1}")
        return np.searchsorted(self._stops, positions, side="right").astype(np.int64, copy=False)


def rank_of(
    index: Ints, *, global_batch: int, data_parallel: int, micro_batch: int
) -> tuple[Ints, Ints]:
    """The data-parallel rank, and its micro step, that an index in the global batch goes to.

    Raises:
        ConfigError: the global batch does not divide into micro batches of all ranks.
    """
    together = data_parallel * micro_batch
    if together < 1 or global_batch % together:
        raise ConfigError(
            f"a global batch of {global_batch} samples does not divide into micro batches of "
            f"{micro_batch} on {data_parallel} ranks: choose a micro batch that does"
        )
    micro_step, within = np.divmod(index, together)
    return within // micro_batch, micro_step
