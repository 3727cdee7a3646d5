"""A body's shards in a row, read range by range as they are asked for, to compare two of them.

Whether two samples hold the same is mostly told by numbers: of the file, of what is picked of it,
and of how far in the sample begins.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.objects.manifest import Manifest
from manifests.objects.ranges import Range, ranges_of, read_ranges
from manifests.objects.tree import Objects
from manifests.resolve.types import Body
from manifests.segment_order import column
from manifests.spec.types import Layout
from manifests.windows import Ints

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Shard rows as numbers, in their order."""

    tokens: Ints
    file: Ints
    pick: Ints
    """Of the file and the bitmap of its picked rows together."""


class Names:
    """Numbers that stand for files and bitmaps, the same for equal ones; ranges are read once."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._picks: dict[tuple[str, bytes], int] = {}
        self._ranges: dict[str, _Rows] = {}

    def rows(self, objects: Objects, found: Range) -> _Rows:
        """The rows of a range."""
        if found.digest not in self._ranges:
            table = read_ranges(objects, [found], ("sha256", "picked", "tokens"))
            files, picks = table["sha256"].to_pylist(), table["picked"].to_pylist()
            both = zip(files, picks, strict=True)
            self._ranges[found.digest] = _Rows(
                tokens=np.asarray(table["tokens"].to_numpy(), dtype=np.int64),
                file=column(self._files.setdefault(one, len(self._files)) for one in files),
                pick=column(self._picks.setdefault(one, len(self._picks)) for one in both),
            )
        return self._ranges[found.digest]


class Shelf:
    """The shards of a body. Where they begin is counted in tokens, else in samples."""

    def __init__(self, manifest: Manifest, body: Body, sequence_length: int, names: Names) -> None:
        self.body = body
        self.streams = body.layout is Layout.STREAM
        self._length = sequence_length
        self._objects = manifest.objects
        self._names = names
        self._ranges = ranges_of(manifest.objects, body.table)
        self._stops = np.cumsum(column(one.shards for one in self._ranges))
        """Shards up to the end of each range."""
        self._read = np.zeros(len(self._ranges), dtype=np.bool_)
        shards = int(self._stops[-1]) if len(self._stops) else 0
        self._file, self._pick, self._size = (np.empty(shards, dtype=np.int64) for _ in range(3))
        self._windows = None if self.streams else manifest.array(body.windows)
        self._ends = np.empty(shards, dtype=np.int64)
        range_sizes = column(one.tokens for one in self._ranges)
        if self._windows is not None:
            sums = np.concatenate([[0], np.cumsum(self._windows)])[np.append(0, self._stops)]
            range_sizes = np.diff(sums)
        self._range_ends = np.cumsum(range_sizes)
        self._range_starts = self._range_ends - range_sizes

    def first(self, samples: Ints) -> tuple[Ints, Ints]:
        """The shard in which each sample begins, and how far in."""
        at = samples * self._length if self.streams else samples
        of_range = np.searchsorted(self._range_ends, at, side="right")
        shard = np.empty(len(at), dtype=np.int64)
        for number in np.unique(of_range).tolist():
            here = np.flatnonzero(of_range == number)
            span = self._span(number)
            ends = self._ends[span]
            shard[here] = span.start + np.searchsorted(ends, at[here], side="right")
        return shard, at - (self._ends[shard] - self._size[shard])

    def numbers(self, shards: Ints) -> tuple[Ints, Ints, Ints]:
        """File, pick and size of these shards."""
        for number in np.unique(np.searchsorted(self._stops, shards, side="right")).tolist():
            self._span(number)
        return self._file[shards], self._pick[shards], self._size[shards]

    def differing(self, other: "Shelf", most: int) -> Ints | None:
        """Samples that may hold something else than those of the same number in the other, which
        has as many; None when they are more than `most`. Ranges that both have are not read.
        """
        mine, theirs = self._stretches(other), other._stretches(self)
        same = set(zip(*(part.tolist() for part in theirs), strict=True))
        triples = zip(*(part.tolist() for part in mine), strict=True)
        other_ones = np.array([one not in same for one in triples], dtype=np.bool_)
        starts, sizes = mine[0][other_ones], mine[1][other_ones]
        low, high = starts, starts + sizes - 1
        if self.streams:
            low = np.maximum(0, -((self._length - starts) // self._length))
            high = np.minimum(self.body.samples - 1, (starts + sizes - 1) // self._length)
        if int(np.maximum(0, high - low + 1).sum()) > most:
            return None
        spans = zip(low.tolist(), high.tolist(), strict=True)
        return _union(np.arange(first, last + 1, dtype=np.int64) for first, last in spans)

    def _stretches(self, other: "Shelf") -> tuple[Ints, Ints, Ints]:
        """Start, size and pick of the shards in ranges that the other does not have there."""
        known = set(other._places())
        chosen = [n for n, place in enumerate(self._places()) if place not in known]
        spans = [self._span(number) for number in chosen]
        shards = _union(np.arange(span.start, span.stop, dtype=np.int64) for span in spans)
        sizes = self._size[shards]
        return self._ends[shards] - sizes, sizes, self._pick[shards]

    def _places(self) -> list[tuple[str, int]]:
        digests = [one.digest for one in self._ranges]
        return list(zip(digests, self._range_starts.tolist(), strict=True))

    def _span(self, number: int) -> slice:
        """The shards of a range, which is read now if it was not yet."""
        stop = int(self._stops[number])
        span = slice(stop - self._ranges[number].shards, stop)
        if not self._read[number]:
            rows = self._names.rows(self._objects, self._ranges[number])
            size = rows.tokens if self._windows is None else self._windows[span]
            self._file[span], self._pick[span], self._size[span] = rows.file, rows.pick, size
            self._ends[span] = self._range_starts[number] + np.cumsum(size)
            self._read[number] = True
        return span


def compare(
    one: Shelf, samples: Ints, other: Shelf, others: Ints, sequence_length: int
) -> tuple[Bools, Bools]:
    """Of each pair of samples whether they hold the same, and whether that is not certain.

    It is not where the same file is picked from in another way, or under another layout.
    """
    (left, offset), (right, shift) = one.first(samples), other.first(others)
    file, pick, size = one.numbers(left)
    other_file, other_pick, _ = other.numbers(right)
    same = (pick == other_pick) & (offset == shift)
    unsure = (file == other_file) & (pick != other_pick)
    if one.body.layout is not other.body.layout:
        return np.zeros_like(same), file == other_file
    if not one.streams:
        return same, unsure
    missing = sequence_length + 1 - (size - offset)
    going_on = np.flatnonzero(same & (missing > 0))
    while len(going_on):
        left[going_on] += 1
        right[going_on] += 1
        file, pick, size = one.numbers(left[going_on])
        other_file, other_pick, _ = other.numbers(right[going_on])
        same[going_on] = pick == other_pick
        unsure[going_on] = (file == other_file) & (pick != other_pick)
        missing[going_on] -= size
        going_on = going_on[same[going_on] & (missing[going_on] > 0)]
    return same, unsure


def _union(parts: Iterable[Ints]) -> Ints:
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
