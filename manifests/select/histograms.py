"""Nested columns of shard rows as flat arrays, so that 10^6 shards are judged without a loop."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.sketches import BINS, bin_range

Ints = npt.NDArray[np.int64]

_LONGEST = 2**62
"""The last bin has no upper end."""

LOW: Ints = np.array([bin_range(i).low for i in range(BINS)], dtype=np.int64)
HIGH: Ints = np.array(
    [*(bin_range(i).high for i in range(BINS - 1)), _LONGEST],
    dtype=np.int64,
)
"""The shortest and the longest text of each bin, in tokens."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of all lists of a column, one after the other."""

    starts: Ints
    """Where each list begins; one more for the end of the last."""
    flat: pa.StructArray

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Entries":
        """The entries of a column of lists of structs."""
        chunks = column.chunks or [pa.array([], column.type)]
        lists = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
        offsets = lists.offsets.to_numpy().astype(np.int64)
        return cls(offsets - offsets[0], lists.flatten())

    def sums(self, values: Ints) -> Ints:
        """For each list, the sum of a value an entry."""
        ends = np.concatenate([[0], np.cumsum(values)])
        sums: Ints = ends[self.starts[1:]] - ends[self.starts[:-1]]
        return sums

    def numbers(self, field: str) -> Ints:
        """A field of each entry."""
        values: Ints = self.flat.field(field).to_numpy().astype(np.int64)
        return values

    def names(self) -> tuple[list[str], Ints]:
        """The different names, and of each entry the number of its own."""
        coded = self.flat.field("name").dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def length_counts(rows: pa.Table) -> tuple[Entries, Ints, Ints, Ints]:
    """Of the histograms of lengths: the entries, their bins and counts; documents of 0 tokens."""
    entries = Entries.of(rows["lengths"])
    counts = entries.numbers("count")
    empty = rows["documents"].to_numpy() - entries.sums(counts)
    return entries, entries.numbers("bin"), counts, empty
