"""Gopher's quality measures [RW:Gopher A1.1], in the reading of FineWeb (datatrove).

The published bounds: 50 to 100,000 words, mean length 3 to 10, hashes and ellipses at most 0.1 a
word, at most 90 % bullet lines and 30 % lines that end in an ellipsis, at least 80 % of the words
with a letter, and at least 2 different stop words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from filters.contract import Gate
from filters.texts import ALPHA, SPACE, Floats, Hashes, Texts, share, texts
from manifests.records import Reason

_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_ELLIPSIS = ord("…")


def _words(read: Texts) -> Floats:
    return read.per_row(read.words.row[read.real])


def _word_length(read: Texts) -> Floats:
    lengths = read.per_row(read.words.row[read.real], read.words.length[read.real])
    return share(lengths, _words(read))


def _per_word(read: Texts, counts: Floats) -> Floats:
    return share(counts, read.per_row(read.words.row))


def _hashes(read: Texts) -> Floats:
    return _per_word(read, read.per_row(read.row_of[read.chars == ord("#")]))


def _ellipses(read: Texts) -> Floats:
    dots = read.runs(read.chars == ord("."))
    counts = read.per_row(dots.row, dots.length // 3)
    return _per_word(read, counts + read.per_row(read.row_of[read.chars == _ELLIPSIS]))


def _alphabetic(read: Texts) -> Floats:
    lettered = read.count((read.classes & ALPHA) != 0, read.words) > 0
    return _per_word(read, read.per_row(read.words.row[lettered]))


def _letters(read: Texts) -> Floats:
    return share(read.per_row(read.row_of[(read.classes & ALPHA) != 0]), read.lengths)


def _bullets(read: Texts) -> Floats:
    lines = read.lines
    first = np.append(read.words.start, len(read.chars))
    at = first[np.searchsorted(read.words.start, lines.start)]
    # A line starts a row or follows a break, so it never starts inside a word.
    char = np.append(read.chars, 0)[at]
    bullet = (at < lines.end) & ((char == ord("•")) | (char == ord("-")))
    return share(read.per_row(lines.row[bullet]), read.per_row(lines.row))


def _end_ellipses(read: Texts) -> Floats:
    lines = read.lines
    solid = np.append(np.flatnonzero((read.classes & SPACE) == 0), -1)
    at = solid[np.searchsorted(solid[:-1], lines.end) - 1]  # the last before the end, or -1
    chars = np.concatenate([[0, 0], read.chars])
    dots = (chars[at + 2] == ord(".")) & (chars[at + 1] == ord(".")) & (chars[at] == ord("."))
    ends = (at >= lines.start) & (chars[at + 2] == _ELLIPSIS)
    ends |= (at - 2 >= lines.start) & dots
    return share(read.per_row(lines.row[ends]), read.per_row(lines.row))


@cache
def _stop_hashes() -> Hashes:
    return Texts(pa.array(_STOP_WORDS)).word_hashes


def _stop_words(read: Texts) -> Floats:
    different = np.zeros(read.rows)
    for value in _stop_hashes():
        different += read.per_row(read.words.row[read.word_hashes == value]) > 0
    return different


_MEASURES: dict[str, Callable[[Texts], Floats]] = {
    "words": _words,
    "word_length": _word_length,
    "hashes": _hashes,
    "ellipses": _ellipses,
    "bullets": _bullets,
    "end_ellipses": _end_ellipses,
    "alphabetic": _alphabetic,
    "letters": _letters,
    "stop_words": _stop_words,
}
MEASURES = tuple(_MEASURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One measure of what a text is made of.

    - `words`: words that are not only symbols, and `word_length`, their mean length
    - `hashes`, `ellipses`: a word
    - `bullets`, `end_ellipses`: share of lines
    - `alphabetic`: share of words with a letter; `letters`: share of characters
    - `stop_words`: how many different ones
    """

    measure: str

    @property
    def name(self) -> str:
        """`name@version`."""
        return f"text.{self.measure}@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One score a row; an empty text scores 0."""
        return pa.array(_MEASURES[self.measure](texts(batch)))


def _gate(measure: str, low: float | None = None, high: float | None = None) -> Gate:
    return Gate(filter=Text(measure=measure), low=low, high=high, reason=Reason.LOW_QUALITY)


GOPHER_QUALITY = (
    Gate(filter=Text(measure="words"), low=50, reason=Reason.TOO_SHORT),
    Gate(filter=Text(measure="words"), high=100_000, reason=Reason.TOO_LONG),
    _gate("word_length", 3, 10),
    _gate("hashes", high=0.1),
    _gate("ellipses", high=0.1),
    _gate("bullets", high=0.9),
    _gate("end_ellipses", high=0.3),
    _gate("alphabetic", low=0.8),
    _gate("stop_words", low=2),
)
"""[RW:Gopher A1.1], for English."""
