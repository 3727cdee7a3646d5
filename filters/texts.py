"""A batch of texts as NumPy arrays: code points, words, lines, and a hash of any span of them.

All rows lie in one array of code points, and every measure is arithmetic over that array, so the
cost of Python is paid once a batch and not once a word. Words are what `str.split` gives, which is
what Gopher counts [RW:Gopher A1.1].
"""

import sys
import threading
import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

SPACE, ALPHA, SYMBOL, BREAK = 1, 2, 4, 8
"""Classes of a code point; a symbol is punctuation, a sign or a control character."""
_LAST_CLASSED = 0x32400
"""No code point from here on is a space, a letter or a symbol."""
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


@cache
def _classes() -> npt.NDArray[np.uint8]:
    table = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    for point in range(_LAST_CLASSED):
        char = chr(point)
        major = unicodedata.category(char)[0]
        symbol = major in "PS" or unicodedata.category(char) == "Cc"
        table[point] = SPACE * char.isspace() | ALPHA * (major == "L") | SYMBOL * symbol
    table[[ord(char) for char in _BREAKS]] |= BREAK
    return table


@dataclass(frozen=True, slots=True)
class Spans:
    """Half-open spans of code points, in order, each inside one row."""

    start: Ints
    end: Ints
    row: Ints

    @property
    def length(self) -> Ints:
        """In code points."""
        return self.end - self.start


class Texts:
    """One batch of texts; null is read as empty."""

    def __init__(self, column: pa.Array) -> None:
        column = column.cast(pa.large_string()).fill_null("")
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[column.offset :][: len(column) + 1]
        raw = (data or pa.py_buffer(b""))[ends[0] : ends[-1]] if len(column) else pa.py_buffer(b"")
        decoded = raw.to_pybytes().decode()
        self.rows = len(column)
        self.chars: npt.NDArray[np.uint32] = np.frombuffer(
            decoded.encode("utf-32-le"), dtype=np.uint32
        )
        leads = (np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80
        at = np.concatenate([[0], np.cumsum(leads)])
        self.bounds: Ints = at[ends - ends[0]] if self.rows else np.zeros(1, dtype=np.int64)
        """Row i is chars[bounds[i]:bounds[i + 1]]."""

    @cached_property
    def classes(self) -> npt.NDArray[np.uint8]:
        """The class bits of every code point."""
        return _classes()[self.chars]

    @cached_property
    def lengths(self) -> Ints:
        """Code points of every row."""
        return np.diff(self.bounds)

    @cached_property
    def row_of(self) -> Ints:
        """The row of every code point."""
        return np.repeat(np.arange(self.rows), self.lengths)

    def runs(self, flags: Flags) -> Spans:
        """Maximal runs of flagged code points; a run ends where its row ends."""
        edge = np.zeros(len(flags) + 1, dtype=bool)
        edge[self.bounds] = True
        before = np.concatenate([[False], flags])
        after = np.concatenate([flags, [False]])
        start = np.flatnonzero(after & (~before | edge))
        end = np.flatnonzero(before & (~after | edge))
        return Spans(start, end, self.row_of[start])

    def between(self, cuts: Spans, first: Ints, last: Ints) -> Spans:
        """What lies between the cuts in each row's span [first, last), empty pieces included."""
        counts = np.bincount(cuts.row, minlength=self.rows) + 1
        row = np.repeat(np.arange(self.rows), counts)
        begin = np.concatenate([[0], np.cumsum(counts)])
        start, end = np.empty(len(row), dtype=np.int64), np.empty(len(row), dtype=np.int64)
        inner = np.arange(len(cuts.row)) + cuts.row  # each earlier row has one piece more than cuts
        start[begin[:-1]], end[begin[1:] - 1] = first, last
        end[inner], start[inner + 1] = cuts.start, cuts.end
        return Spans(start, end, row)

    @cached_property
    def words(self) -> Spans:
        """Words as `str.split()` gives them."""
        return self.runs((self.classes & SPACE) == 0)

    @cached_property
    def real(self) -> Flags:
        """Which words hold more than symbols."""
        return self.count((self.classes & SYMBOL) != 0, self.words) < self.words.length

    @cached_property
    def word_hashes(self) -> Hashes:
        """A hash of every word."""
        return self.hashes(self.words)

    @cached_property
    def newlines(self) -> Spans:
        """Runs of newlines."""
        return self.runs(self.chars == ord("\n"))

    @cached_property
    def lines(self) -> Spans:
        """Lines as `str.splitlines()` gives them, but for a carriage return left at the end."""
        last = (self.classes & BREAK) != 0
        pairs = (self.chars[:-1] == ord("\r")) & (self.chars[1:] == ord("\n"))
        last[:-1] &= ~(pairs & (self.row_of[:-1] == self.row_of[1:]))
        at = np.flatnonzero(last)
        cuts = Spans(at, at + 1, self.row_of[at])
        pieces = self.between(cuts, self.bounds[:-1], self.bounds[1:])
        real = pieces.start < self.bounds[pieces.row + 1]
        return Spans(pieces.start[real], pieces.end[real], pieces.row[real])

    @cached_property
    def trimmed(self) -> tuple[Ints, Ints]:
        """Where each row begins and ends without its outer spaces; equal if nothing is left."""
        first, last = self.bounds[:-1].copy(), self.bounds[:-1].copy()
        row = self.words.row
        last[row] = self.words.end  # NumPy keeps the last of equal indices
        first[row[::-1]] = self.words.start[::-1]
        return first, last

    def count(self, flags: Flags, spans: Spans) -> Ints:
        """Flagged code points in every span."""
        total: Ints = np.concatenate([[0], np.cumsum(flags)])
        counts: Ints = total[spans.end] - total[spans.start]
        return counts

    @cached_property
    def _prefix(self) -> tuple[Hashes, Hashes]:
        values = mix(self.chars.astype(np.uint64))
        total = np.zeros(len(values) + 1, dtype=np.uint64)
        np.cumsum(values * _powers(_BASE, len(values)), out=total[1:])
        return total, _powers(_INVERSE, len(values) + 1)

    def hashes(self, spans: Spans) -> Hashes:
        """A 64-bit hash of every span's text (a polynomial in the code points)."""
        total, inverse = self._prefix
        sums = (total[spans.end] - total[spans.start]) * inverse[spans.start]
        return mix(sums + spans.length.astype(np.uint64))

    def per_row(self, row: Ints, weights: Ints | None = None) -> Floats:
        """Sum of weights (or a count) by row."""
        return np.bincount(row, weights, minlength=self.rows).astype(np.float64)


def _powers(base: int, count: int) -> Hashes:
    return _all_powers(base, 1 << count.bit_length())[:count]


@lru_cache(maxsize=4)
def _all_powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers)


def mix(values: Hashes) -> Hashes:
    """The splitmix64 finalizer: nearby values become unrelated ones."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def share(part: Floats, whole: Floats | Ints) -> Floats:
    """The quotient, and 0 where the whole is 0."""
    out = np.zeros(len(part))
    np.divide(part, whole, out=out, where=whole > 0)
    return out


_last = threading.local()


def texts(batch: pa.RecordBatch) -> Texts:
    """The batch's `text` column, read; the filters of one batch share one reading."""
    column = batch.column("text")
    key = (column.offset, len(column), *(b.address if b else 0 for b in column.buffers()))
    if getattr(_last, "key", None) != key:
        # The column is held with the reading, so that its addresses are not given to another.
        _last.key, _last.column, _last.texts = key, column, Texts(column)
    read: Texts = _last.texts
    return read
