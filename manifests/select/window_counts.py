"""How many samples shards make under a layout whose windows do not follow from sums of tokens.

A shard's histogram of lengths often tells; a shard that has to be read is read once, for all
windows that are asked for, and what it gives is kept for selections that come later.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.documents import ShardRow, read_documents
from manifests.fingerprint import sha256
from manifests.packing import packed_windows
from manifests.select.histograms import HIGH, LOW, Ints, length_counts
from manifests.select.picking import Progress, over_files
from manifests.spec.types import Layout
from manifests.store import Store
from manifests.windows import samples_of_documents

Cut = tuple[Layout, int]
"""A layout, not STREAM, and a sequence length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Some shards under a layout."""

    windows: Ints
    """Of each shard."""
    splits: int
    """Documents that are longer than a window."""


class WindowCounts:
    """Counts windows in the shards of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[tuple[str, str], dict[Cut, tuple[int, int]]] = {}
        """Windows and splits of what was read, by file and bitmap of its picked rows."""

    def of(
        self,
        rows: pa.Table,
        cut: Cut,
        further: Collection[Cut] = (),
        progress: Progress | None = None,
    ) -> Counted:
        """The windows of shard rows. What is read for it is counted for the `further` cuts, too.

        Raises:
            DataError: A data file is broken.
        """
        windows, long, unsure = _told(rows, cut)
        numbers = np.flatnonzero(unsure).tolist()

        def count(number: int) -> tuple[int, int]:
            return self._counted(ShardRow.of(rows, number), cut, further)

        found = np.array(over_files(count, numbers, progress), dtype=np.int64).reshape(-1, 2)
        windows[numbers], long[numbers] = found[:, 0], found[:, 1]
        return Counted(windows=windows, splits=int(long.sum()))

    def _counted(self, row: ShardRow, cut: Cut, further: Collection[Cut]) -> tuple[int, int]:
        known = self._read.setdefault((row.sha256, sha256(row.picked)), {})
        if cut not in known:
            tokens = read_documents(self._store, row).tokens
            for one in {cut, *further} - known.keys():
                known[one] = windows_of(tokens, *one), int((tokens > one[1]).sum())
        return known[cut]


def windows_of(tokens: Ints, layout: Layout, sequence_length: int) -> int:
    """Windows of a shard's documents, which have so many tokens each."""
    if layout is Layout.PACKED:
        return packed_windows(tokens, sequence_length)
    return int(samples_of_documents(tokens, sequence_length).sum())


def _told(rows: pa.Table, cut: Cut) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """What the lengths of shards tell of their windows and splits, and where they do not."""
    layout, length = cut
    entries, bins, counts, empty = length_counts(rows)
    long = entries.sums(counts * (length < LOW)[bins])
    if layout is Layout.PACKED:
        documents = np.asarray(rows["documents"].to_numpy(), dtype=np.int64)
        places = np.asarray(rows["tokens"].to_numpy(), dtype=np.int64) - documents + empty
        return np.minimum(1, places), long, places > length
    fewest, most = (samples_of_documents(ends, length) for ends in (LOW, HIGH))
    unsure = entries.sums(counts * (fewest != most)[bins]) > 0
    return entries.sums(counts * fewest[bins]) + empty, long, unsure
