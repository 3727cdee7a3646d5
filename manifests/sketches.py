"""Small summaries that merge exactly, in any order, to the same bytes.

Three of them: a histogram with fixed bins, a count of distinct values (HyperLogLog) and a sample
(the k smallest hashes). Quantile sketches such as KLL and t-digest are no use here: the same data
gives them other bytes, or other answers, in another order.
"""

import math
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from manifests.fingerprint import content_id

BINS = 192
"""8 bins an octave over 1..2**24: a bin is 9% wide."""


def _edges() -> npt.NDArray[np.int64]:
    """First length of each bin: the smallest n with n**8 >= 2**i, in integers."""
    edges = []
    for i in range(BINS):
        n = max(1, int(2 ** (i / 8)) - 1)
        while n**8 < 2**i:
            n += 1
        edges.append(n)
    return np.array(edges, dtype=np.int64)


EDGES = _edges()


class Range(NamedTuple):
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many lengths fell in each bin; what is below 1 is not counted."""

    bins: tuple[tuple[int, int], ...] = ()
    """(bin, count), by bin; empty bins are left out."""

    @classmethod
    def of(cls, lengths: npt.NDArray[np.int64]) -> "Lengths":
        """The histogram of these lengths; what is longer than 2**24 is in the last bin."""
        bins = np.searchsorted(EDGES, lengths[lengths > 0], side="right") - 1
        return cls._dense(np.bincount(bins, minlength=BINS))

    @classmethod
    def _dense(cls, counts: npt.NDArray[np.int64]) -> "Lengths":
        return cls(tuple((int(i), int(counts[i])) for i in np.flatnonzero(counts)))

    @property
    def count(self) -> int:
        return sum(count for _, count in self.bins)

    def __add__(self, other: "Lengths") -> "Lengths":
        counts = dict(self.bins)
        for i, count in other.bins:
            counts[i] = counts.get(i, 0) + count
        return Lengths(tuple(sorted(counts.items())))

    def quantile(self, q: float) -> Range | None:
        """The bin that holds the `q`-quantile (0 to 1), as lengths; None when nothing counted."""
        rank = max(1, math.ceil(q * self.count))
        seen = 0
        for i, count in self.bins:
            seen += count
            if seen >= rank:
                return bin_range(i)
        return None


def bin_range(i: int) -> Range:
    """The lengths that fall into bin `i`."""
    low = int(EDGES[i])
    # Below 12 some bins hold no whole number: several edges are then the same.
    high = int(EDGES[i + 1]) - 1 if i + 1 < BINS else 2**24
    return Range(low, max(low, high))


REGISTERS = 4096
_BITS = 51
"""Bits of a hash, after 12 for the register's number, whose leading zeros are counted."""
_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_CODE = np.frombuffer(("0" + _LETTERS).encode(), dtype=np.uint8)
_RUN = re.compile(r"([1-9][0-9]{0,3})|([A-Za-z]+)")
_RUNS = re.compile(r"[A-Za-z]*([1-9][0-9]{0,3}[A-Za-z]+)*([1-9][0-9]{0,3})?")


@dataclass(frozen=True)
class Distinct:
    """HyperLogLog over 64-bit hashes, 4,096 registers: the estimate's standard error is 1.6%.

    Source: Flajolet et al. 2007; the estimate is Ertl's (arXiv 1702.01284, algorithm 6), which
    needs no table of corrections.
    """

    registers: str = str(REGISTERS)
    """A letter a register (A = 1, z = 52), and a number for as many registers that are zero."""

    @classmethod
    def of(cls, hashes: npt.NDArray[np.uint64]) -> "Distinct":
        """The sketch of these hashes, evenly spread over 64 bits as a digest's bytes are."""
        values = np.zeros(REGISTERS, dtype=np.uint8)
        rest = hashes & np.uint64((1 << _BITS) - 1)
        # frexp is exact here: the rest has 51 bits, a float 53.
        rank = (_BITS + 1 - np.frexp(rest.astype(np.float64))[1]).astype(np.uint8)
        np.maximum.at(values, (hashes >> np.uint64(52)).astype(np.int64), rank)
        return cls._encoded(values)

    @classmethod
    def _encoded(cls, values: npt.NDArray[np.uint8]) -> "Distinct":
        text = _CODE[values].tobytes().decode()
        return cls(re.sub("0+", lambda run: str(len(run.group())), text))

    def __post_init__(self) -> None:
        runs = _RUN.findall(self.registers) if _RUNS.fullmatch(self.registers) else []
        if sum(int(run) if run else len(letters) for run, letters in runs) != REGISTERS:
            raise ValueError(f"not {REGISTERS} registers: {self.registers!r:.60}")

    @cached_property
    def _values(self) -> npt.NDArray[np.uint8]:
        runs = _RUN.findall(self.registers)
        text = "".join("0" * int(run) if run else letters for run, letters in runs)
        codes = np.frombuffer(text.encode(), dtype=np.uint8)
        lower, upper = codes >= ord("a"), codes >= ord("A")
        return np.where(lower, codes - 70, np.where(upper, codes - 64, 0)).astype(np.uint8)

    def __add__(self, other: "Distinct") -> "Distinct":
        if self.registers == other.registers:
            return self
        return self._encoded(np.maximum(self._values, other._values))

    def estimate(self) -> int:
        """About how many different hashes were seen."""
        counts = np.bincount(self._values, minlength=_BITS + 2).tolist()
        if counts[0] == REGISTERS:
            return 0
        z = REGISTERS * _tau(1 - counts[_BITS + 1] / REGISTERS)
        for k in range(_BITS, 0, -1):
            z = 0.5 * (z + counts[k])
        z += REGISTERS * _sigma(counts[0] / REGISTERS)
        return round(REGISTERS**2 / (2 * math.log(2)) / z)


def _sigma(x: float) -> float:
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3


SAMPLE_ROWS = 64
"""Rows of a sample; about 2.5 KB of a commit."""


class Sampled(NamedTuple):
    """One row of a sample."""

    id: str
    tokens: int
    """0 where rows have no tokens."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows with the smallest hashes of their ids: a fair sample, and the same every time."""

    rows: tuple[Sampled, ...] = ()
    """By hash."""

    @classmethod
    def of(cls, ids: Iterable[str], tokens: Iterable[int]) -> "Sample":
        """The sample of rows with these ids."""
        return cls._smallest(map(Sampled, ids, tokens))

    @classmethod
    def _smallest(cls, rows: Iterable[Sampled]) -> "Sample":
        hashed = sorted({(content_id(row.id), row) for row in rows})
        return cls(tuple(row for _, row in hashed[:SAMPLE_ROWS]))

    def __add__(self, other: "Sample") -> "Sample":
        return self._smallest(chain(self.rows, other.rows))
