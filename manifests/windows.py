"""Which tokens of which documents a sample holds, and the way back.

A body's documents lie one behind the other, in the order of its table. Under STREAM a sample is
the window of sequence_length + 1 tokens from s * sequence_length on (the last is the label of the
last input, and the next sample's first input). Under DOCUMENT every document begins a window.
Start-up and memory follow the shards, never the samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.resolve.types import Body
from manifests.spec.types import Layout

Ints = npt.NDArray[np.int64]


class Lengths(Protocol):
    """The picked documents of one shard."""

    @property
    def tokens(self) -> Ints:
        """Text tokens of each, without the end-of-document token."""


LengthsOf = Callable[[int], Lengths]
"""From the number of a shard in the table to its documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A run of tokens of one document."""

    shard: int
    """Row of the table."""
    document: int
    """Among the picked documents of the shard."""
    start: int
    """First token, of the document's own and its end-of-document token."""
    length: int


class Windows:
    """The samples of an epoch of one body.

    `sizes` are tokens of each shard (STREAM; each document with its end-of-document token) or its
    samples (DOCUMENT).
    """

    def __init__(self, layout: Layout, sizes: Ints, sequence_length: int) -> None:
        self._layout = layout
        self._length = sequence_length
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        total = int(self._ends[-1]) if len(sizes) else 0
        stream = max(0, (total - 1) // sequence_length)
        self.samples = stream if layout is Layout.STREAM else total

    @classmethod
    def of(
        cls,
        body: Body,
        sequence_length: int,
        table_of: Callable[[str], pa.Table],
        array_of: Callable[[str], Ints],
    ) -> Self:
        """The samples of a body, whose table (its column `tokens`) or windows are looked up."""
        if body.layout is Layout.DOCUMENT:
            return cls(body.layout, array_of(body.windows), sequence_length)
        tokens = table_of(body.table)["tokens"].to_numpy()
        return cls(body.layout, np.asarray(tokens, dtype=np.int64), sequence_length)

    def shards(self, samples: Ints) -> tuple[Ints, Ints]:
        """Of each sample the shard of its first token, and how far in it is: tokens or samples."""
        first = samples * self._length if self._layout is Layout.STREAM else samples
        shard = np.searchsorted(self._ends, first, side="right").astype(np.int64)
        return shard, first - self._starts[shard]

    def spans(self, sample: int, lengths_of: LengthsOf) -> list[Span]:
        """What a sample holds, in order."""
        if not 0 <= sample < self.samples:
            raise IndexError(f"sample {sample} of {self.samples}")
        shard, offset = (int(value[0]) for value in self.shards(np.array([sample])))
        if self._layout is Layout.DOCUMENT:
            return [self._part(shard, offset, lengths_of(shard).tokens)]
        found: list[Span] = []
        missing = self._length + 1
        while missing:
            here = _cut(shard, offset, missing, lengths_of(shard).tokens)
            found += here
            missing -= sum(span.length for span in here)
            shard, offset = shard + 1, 0
        return found

    def samples_of(self, shard: int, document: int, lengths_of: LengthsOf) -> Ints:
        """The samples that hold a token of a document."""
        tokens = lengths_of(shard).tokens
        if self._layout is Layout.DOCUMENT:
            counts = samples_of_documents(tokens, self._length)
            first = int(self._starts[shard] + counts[:document].sum())
            return np.arange(first, first + int(counts[document]), dtype=np.int64)
        first = int(self._starts[shard] + (tokens[:document] + 1).sum())
        return self._between(first, first + int(tokens[document]) + 1)

    def samples_of_shard(self, shard: int) -> Ints:
        """The samples that hold a token of a shard."""
        first, stop = int(self._starts[shard]), int(self._ends[shard])
        if self._layout is Layout.DOCUMENT:
            return np.arange(first, stop, dtype=np.int64)
        return self._between(first, stop)

    def _between(self, first: int, stop: int) -> Ints:
        """Samples that hold a token of [first, stop) of the stream, as an input or as a label."""
        if first == stop:
            return np.zeros(0, dtype=np.int64)
        low = max(0, -((self._length - first) // self._length))
        high = min(self.samples - 1, (stop - 1) // self._length)
        return np.arange(low, high + 1, dtype=np.int64)

    def _part(self, shard: int, window: int, tokens: Ints) -> Span:
        ends = np.cumsum(samples_of_documents(tokens, self._length))
        document = int(np.searchsorted(ends, window, side="right"))
        before = int(ends[document - 1]) if document else 0
        start = (window - before) * self._length
        rest = int(tokens[document]) + 1 - start
        return Span(shard=shard, document=document, start=start, length=min(self._length + 1, rest))


def samples_of_documents(tokens: Ints, sequence_length: int) -> Ints:
    """Windows of each document under DOCUMENT: all its tokens are inputs, one window at least."""
    return np.maximum(1, -(-tokens // sequence_length))


def _cut(shard: int, offset: int, wanted: int, tokens: Ints) -> list[Span]:
    """The tokens [offset, offset + wanted) of a shard's stream, as far as it goes."""
    ends = np.cumsum(tokens + 1)
    stop = min(offset + wanted, int(ends[-1]) if len(ends) else 0)
    if offset >= stop:
        return []
    first = int(np.searchsorted(ends, offset, side="right"))
    last = int(np.searchsorted(ends, stop - 1, side="right"))
    spans = []
    for document in range(first, last + 1):
        begin = int(ends[document - 1]) if document else 0
        low, high = max(offset, begin), min(stop, int(ends[document]))
        spans.append(Span(shard=shard, document=document, start=low - begin, length=high - low))
    return spans
