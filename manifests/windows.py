"""Which tokens of which documents a sample holds, and the way back.

A body's documents lie one behind the other, in the order of its table. Under STREAM a sample is
the window of sequence_length + 1 tokens from s * sequence_length on (the last is the label of the
last input, and the next sample's first input). Under DOCUMENT every document begins a window.
Under PACKED a window holds documents of one shard, as `manifests.packing` packs them. Start-up and
memory follow the shards, never the samples: a shard is packed when it is asked for, from the
lengths of its documents, and the last few packings are remembered.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.errors import ConfigError
from manifests.packing import PACKING, Packing, pack
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

PackingOf = Callable[[int], Packing]
"""From the number of a shard in the table to its windows under PACKED."""

CACHED = 32
"""Shards whose packing is remembered: about 24 bytes a document."""


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
    samples. Who keeps packings gives `packing_of`; without it shards are packed here.
    """

    def __init__(
        self,
        layout: Layout,
        sizes: Ints,
        sequence_length: int,
        packing_of: PackingOf | None = None,
    ) -> None:
        self._layout = layout
        self._packing_of = packing_of
        self._packed = _Packed(sequence_length)
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
        """The samples of a body, whose table (its column `tokens`) or windows are looked up.

        Raises:
            ConfigError: It was packed in another way than this program's.
        """
        refuse_other_packings([body])
        if body.layout is not Layout.STREAM:
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
        if self._layout is Layout.PACKED:
            return _held(shard, self._packing(shard, lengths_of), offset)
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
        if self._layout is Layout.PACKED:
            windows = self._packing(shard, lengths_of).windows_of(document)
            return np.asarray(windows + self._starts[shard], dtype=np.int64)
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
        if self._layout is not Layout.STREAM:
            return np.arange(first, stop, dtype=np.int64)
        return self._between(first, stop)

    def _between(self, first: int, stop: int) -> Ints:
        """Samples that hold a token of [first, stop) of the stream, as an input or as a label."""
        if first == stop:
            return np.zeros(0, dtype=np.int64)
        low = max(0, -((self._length - first) // self._length))
        high = min(self.samples - 1, (stop - 1) // self._length)
        return np.arange(low, high + 1, dtype=np.int64)

    def _packing(self, shard: int, lengths_of: LengthsOf) -> Packing:
        if self._packing_of:
            return self._packing_of(shard)
        return self._packed.of(shard, lengths_of)

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


def refuse_other_packings(bodies: Iterable[Body]) -> None:
    """Pass if this program packs documents as these bodies were packed.

    Raises:
        ConfigError: It does not; says which way was theirs.
    """
    for body in bodies:
        if body.packing not in ("", PACKING):
            raise ConfigError(
                f"table {body.table[:12]}: its documents are packed by {body.packing!r}, and this"
                f" version packs by {PACKING!r}; use the version that built the manifest"
            )


class _Packed:
    """The packings of the shards that were asked for last."""

    def __init__(self, sequence_length: int) -> None:
        self._length = sequence_length
        self._kept: OrderedDict[int, Packing] = OrderedDict()
        self._lock = Lock()

    def of(self, shard: int, lengths_of: LengthsOf) -> Packing:
        with self._lock:
            if shard in self._kept:
                self._kept.move_to_end(shard)
                return self._kept[shard]
        # Not under the lock: shards are read side by side.
        found = pack(lengths_of(shard).tokens, self._length)
        with self._lock:
            self._kept[shard] = found
            if len(self._kept) > CACHED:
                self._kept.popitem(last=False)
        return found


def _held(shard: int, packing: Packing, window: int) -> list[Span]:
    """The parts of a window, each with the token behind its last input: a label."""
    at = packing.parts(window)
    columns = (packing.document[at], packing.start[at], packing.length[at])
    return [
        Span(shard=shard, document=document, start=start, length=length + 1)
        for document, start, length in zip(*(one.tolist() for one in columns), strict=True)
    ]


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
