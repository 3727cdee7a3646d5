"""Gopher's repetition measures [RW:Gopher table A1], in the reading of FineWeb (datatrove).

Repeats are found by 64-bit hashes over the whole batch at once. Only the last rule, which skips
what it has counted, walks in Python, and only from one repeated n-gram to the next.

One difference: datatrove compares repeated n-grams with their spaces taken out, so that "a bc" and
"ab c" are one; here n-grams are equal when their words are.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from filters.contract import Gate
from filters.grams import Repeats, group, own_keys, repeats
from filters.texts import Floats, Ints, Spans, Texts, share, texts
from manifests.records import Reason


def _lines(read: Texts) -> Spans:
    return read.between(read.newlines, read.bounds[:-1], read.bounds[1:])


def _paragraphs(read: Texts) -> Spans:
    first, last = read.trimmed
    runs = read.newlines
    cut = (runs.length > 1) & (runs.start > first[runs.row]) & (runs.end < last[runs.row])
    return read.between(Spans(runs.start[cut], runs.end[cut], runs.row[cut]), first, last)


def _repeats(read: Texts, pieces: Spans, *, characters: bool) -> Floats:
    found = group(np.arange(len(pieces.row)), own_keys(read.hashes(pieces), pieces.row))
    seen = found.at[found.before >= 0]
    if characters:
        return share(read.per_row(pieces.row[seen], pieces.length[seen]), read.lengths)
    return share(read.per_row(pieces.row[seen]), read.per_row(pieces.row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """Share of a text's lines or paragraphs that stood in it before, or of its characters."""

    pieces: str
    """`lines` or `paragraphs`."""
    characters: bool = False
    """Count the repeated pieces' characters, as a share of the text's."""

    @property
    def name(self) -> str:
        """`name@version`."""
        return f"repetition.{self.pieces}{'_chars' if self.characters else ''}@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One share a row; an empty text scores 0."""
        read = texts(batch)
        pieces = {"lines": _lines, "paragraphs": _paragraphs}[self.pieces](read)
        return pa.array(_repeats(read, pieces, characters=self.characters))


def _characters(read: Texts, n: int) -> Ints:
    """Characters of the n words from every word on, without spaces; the last n - 1 are left out."""
    total: Ints = np.concatenate([[0], np.cumsum(read.words.length)])
    counts: Ints = total[n:] - total[:-n]
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class TopGram:
    """Share of a text's characters in its most common n-gram of words (the first of equals)."""

    n: int

    @property
    def name(self) -> str:
        """`name@version`."""
        return f"repetition.top_{self.n}_gram@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One share a row; a text of fewer than n words scores 0."""
        read = texts(batch)
        row = read.words.row
        inside = np.flatnonzero(row[: 1 - self.n] == row[self.n - 1 :])
        starts = inside[np.flatnonzero(np.diff(row[inside], prepend=-1))]
        scores = np.zeros(read.rows)
        if len(starts):
            found = repeats(read, self.n)
            times = np.zeros(len(row), dtype=np.int64)
            times[found.at] = found.times
            times[starts] = np.maximum(1, times[starts])
            # Rank by count, then by place; both fit one integer.
            rank = times * (len(row) + 1) + (len(row) - np.arange(len(row)))
            at = len(row) - np.maximum.reduceat(rank, starts) % (len(row) + 1)
            chars = (_characters(read, self.n)[at] + self.n - 1) * times[at]
            scores[row[starts]] = chars / read.lengths[row[starts]]
        return pa.array(scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedGrams:
    """Share of a text's characters in n-grams that stood in it before, none counted twice."""

    n: int

    @property
    def name(self) -> str:
        """`name@version`."""
        return f"repetition.repeated_{self.n}_grams@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One share a row."""
        read = texts(batch)
        counted = _counted(repeats(read, self.n), self.n)
        chars = _characters(read, self.n)[counted] if len(counted) else counted
        return pa.array(share(read.per_row(read.words.row[counted], chars), read.lengths))


def _counted(found: Repeats, n: int) -> Ints:
    """First words of the repeats that a reader meets who skips the words of each he has counted.

    An n-gram inside what he skipped is unknown to him: only repeats of one he has met count.
    """
    counted = []
    met: list[int] = []  # for each occurrence, the last of its n-gram up to there that he met
    beyond = 0
    for index, (at, before) in enumerate(
        zip(found.at.tolist(), found.before.tolist(), strict=True)
    ):
        known = met[before] if before >= 0 else -1
        if at < beyond:
            met.append(known)
            continue
        met.append(index)
        if known >= 0:
            counted.append(at)
            beyond = at + n
    return np.array(counted, dtype=np.int64)


def _gate(measure: Repeated | TopGram | RepeatedGrams, high: float) -> Gate:
    return Gate(filter=measure, high=high, reason=Reason.REPETITIVE)


GOPHER_REPETITION = (
    _gate(Repeated(pieces="paragraphs"), 0.30),
    _gate(Repeated(pieces="paragraphs", characters=True), 0.20),
    _gate(Repeated(pieces="lines"), 0.30),
    _gate(Repeated(pieces="lines", characters=True), 0.20),
    _gate(TopGram(n=2), 0.20),
    _gate(TopGram(n=3), 0.18),
    _gate(TopGram(n=4), 0.16),
    _gate(RepeatedGrams(n=5), 0.15),
    _gate(RepeatedGrams(n=6), 0.14),
    _gate(RepeatedGrams(n=7), 0.13),
    _gate(RepeatedGrams(n=8), 0.12),
    _gate(RepeatedGrams(n=9), 0.11),
    _gate(RepeatedGrams(n=10), 0.10),
)
"""[RW:Gopher table A1]"""
