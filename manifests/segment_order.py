"""The order of all samples of a segment: from a position to its sample, and back, without a list.

A position lies in a step at some index. A permutation of the global batch moves the index, so that
sources spread over the ranks; the interleave tree takes the place it then has to the j-th sample of
a supply; the supply's cursor takes j to a rank in an epoch; the epoch's permutation takes the rank
to a sample. Each of the four has an inverse. State and start-up follow supplies and holes, never
samples.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.interleave import Interleave
from manifests.permutation import base_key, mix, permute, unpermute
from manifests.resolve.types import Segment
from manifests.survivors import Survivors

Ints = npt.NDArray[np.int64]

LoadHoles = Callable[[str], Ints]
"""From the digest of a head's holes to the sorted ranks."""

_BLOCK = 1 << 17
"""Positions at a time; bounds what is held beside the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What stands at some positions; arrays of one length, in the order they were asked for."""

    segment: Ints
    """Number in the phase."""
    supply: Ints
    """Number in the segment."""
    in_head: npt.NDArray[np.bool_]
    """Whether the sample is of the supply's head, not of its body."""
    epoch: Ints
    sample: Ints
    """Number in the epoch of that head or body, in the order of its table."""


def leaf_key(seed: int, leaf: str) -> int:
    """Keys the orders of a leaf's epochs: epoch e is `permute(rank, samples, mix(key, e))`."""
    return base_key("scriptorium.order", "leaf", str(seed), leaf)


class SegmentOrder:
    """The order within one segment; positions are the phase's."""

    def __init__(
        self, phase_name: str, segment: Segment, seed: int, holes: LoadHoles, *, number: int = 0
    ) -> None:
        self.segment = segment
        self._number = number
        self._batch_key = base_key("scriptorium.order", "batch", str(seed), phase_name)
        supplies = segment.supplies
        leaf_keys = [leaf_key(seed, supply.leaf) for supply in supplies]
        self._leaf_key = np.array(leaf_keys, dtype=np.uint64)
        self._tree = Interleave([supply.planned or supply.quota for supply in supplies])
        self._samples = column(max(1, supply.body.samples) for supply in supplies)
        self._first_epoch = column(supply.first_epoch for supply in supplies)
        self._head_count = column(supply.head.count if supply.head else 0 for supply in supplies)
        self._offset = column(supply.cursor for supply in supplies) - self._head_count
        self._holes = holes
        self._loaded: dict[int, Survivors] = {}

    def places(self, positions: Ints) -> Places:
        """The samples at these positions."""
        found = empty_places(np.full(len(positions), self._number, dtype=np.int64))
        for block in _blocks(len(positions), _BLOCK):
            self._fill(found, block, positions[block])
        return found

    def positions(self, supply: int, in_head: bool, sample: int) -> Ints:
        """Every position at which this sample is trained on, in order."""
        return self.occurrences(supply, in_head, np.array([sample]))[1]

    def occurrences(self, supply: int, in_head: bool, samples: Ints) -> tuple[Ints, Ints]:
        """Every position at which one of these samples is trained on, by sample, then position.

        The first array says which of `samples` it is, by its number in that array.
        """
        rows = _BLOCK if in_head else max(1, _BLOCK // max(1, len(self._epochs(supply))))
        which, found = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for block in _blocks(len(samples), rows):
            taken = self._of_head if in_head else self._of_body
            kept, number = taken(supply, samples[block])
            positions = self._positions(self._tree.position(supply, number))
            if not _in_order(kept, positions):
                within = np.lexsort((positions, kept))
                kept, positions = kept[within], positions[within]
            which.append(kept + block.start)
            found.append(positions)
        return np.concatenate(which), np.concatenate(found)

    def counts(self, position: int) -> Ints:
        """How many samples of each supply stand before a position of the segment, or its stop."""
        start, batch = self.segment.start, self.segment.global_batch
        whole = (position - start) // batch * batch
        counts = self._tree.counts(whole)
        rest = self._tree.locate(self._dealt(np.arange(start + whole, position)))[0]
        return counts + np.bincount(rest, minlength=len(counts))

    def steps_of(self, positions: Ints) -> tuple[Ints, Ints]:
        """The step of each position, and its index in the global batch."""
        step, index = np.divmod(positions - self.segment.start, self.segment.global_batch)
        return step + self.segment.first_step, index

    def _fill(self, found: Places, block: slice, positions: Ints) -> None:
        supply, number = self._tree.locate(self._dealt(positions))
        in_head = number < self._head_count[supply]
        size = self._samples[supply]
        rank = number + self._offset[supply]
        turn = rank // size
        rank -= turn * size
        epoch = self._first_epoch[supply] + turn
        heads = np.flatnonzero(in_head)
        for one in np.flatnonzero(np.bincount(supply[heads])).tolist():
            at = heads[supply[heads] == one]
            survivors = self._survivors(one)
            size[at], epoch[at] = survivors.size, survivors.epoch
            rank[at] = survivors.ranks(number[at])
        found.supply[block], found.in_head[block], found.epoch[block] = supply, in_head, epoch
        found.sample[block] = permute(rank, size, mix(self._leaf_key[supply], epoch))

    def _dealt(self, positions: Ints) -> Ints:
        """Where the tree deals what stands at these positions."""
        step, index = self.steps_of(positions)
        batch = self.segment.global_batch
        index = permute(index, batch, mix(self._batch_key, step))
        return (step - self.segment.first_step) * batch + index

    def _positions(self, dealt: Ints) -> Ints:
        """The inverse of `_dealt`."""
        step, index = np.divmod(dealt, self.segment.global_batch)
        keys = mix(self._batch_key, step + self.segment.first_step)
        index = unpermute(index, self.segment.global_batch, keys)
        return dealt - dealt % self.segment.global_batch + index + self.segment.start

    def _of_body(self, supply: int, samples: Ints) -> tuple[Ints, Ints]:
        """Which of the samples, once an epoch, and the how-manieth of the supply they are."""
        one = self.segment.supplies[supply]
        epochs = np.array(self._epochs(supply), dtype=np.int64)
        keys = mix(int(self._leaf_key[supply]), epochs + one.first_epoch)
        place = unpermute(
            np.repeat(samples, len(epochs)), one.body.samples, np.tile(keys, len(samples))
        )
        place += np.tile(epochs * one.body.samples, len(samples))
        start, stop = self._span(supply)
        kept = np.flatnonzero((place >= start) & (place < stop))
        return kept // max(1, len(epochs)), place[kept] - self._offset[supply]

    def _of_head(self, supply: int, samples: Ints) -> tuple[Ints, Ints]:
        """Which of the samples, and the how-manieth of the supply they are."""
        survivors = self._survivors(supply)
        keys = mix(int(self._leaf_key[supply]), np.array([survivors.epoch]))
        kept, number = survivors.numbers(unpermute(samples, survivors.size, keys))
        trained = number < self.segment.supplies[supply].quota
        return kept[trained], number[trained]

    def _span(self, supply: int) -> tuple[int, int]:
        """What the segment takes of the body, as cursors."""
        one = self.segment.supplies[supply]
        return one.cursor, one.cursor + max(0, one.quota - int(self._head_count[supply]))

    def _epochs(self, supply: int) -> range:
        """Epochs of the body that the segment takes samples of, counted from cursor 0."""
        start, stop = self._span(supply)
        size = int(self._samples[supply])
        return range(start // size, -(-stop // size) if stop > start else start // size)

    def _survivors(self, supply: int) -> Survivors:
        if supply not in self._loaded:
            head = self.segment.supplies[supply].head
            if head is None:
                raise ValueError(f"supply {supply} has no head")
            holes = self._holes(head.holes) if head.holes else np.empty(0, dtype=np.int64)
            self._loaded[supply] = Survivors(head, holes)
        return self._loaded[supply]


def empty_places(segment: Ints) -> Places:
    """To be filled in, for positions of these segments."""
    count = len(segment)
    return Places(
        segment=segment,
        supply=np.empty(count, dtype=np.int64),
        in_head=np.empty(count, dtype=np.bool_),
        epoch=np.empty(count, dtype=np.int64),
        sample=np.empty(count, dtype=np.int64),
    )


def column(values: Iterable[int]) -> Ints:
    """An array of whole numbers."""
    return np.fromiter(values, dtype=np.int64)


def _in_order(which: Ints, positions: Ints) -> bool:
    """Whether positions rise for each; they do but where two epochs of it meet in one step."""
    rising = (which[1:] > which[:-1]) | (positions[1:] > positions[:-1])
    return bool(rising.all()) and bool((which[1:] >= which[:-1]).all())


def _blocks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
