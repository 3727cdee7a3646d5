"""Documents packed into windows: best fit, longest first, by their numbers of tokens alone.

A document of t tokens takes t places of a window (an empty one takes one). One that is longer than
a window fills windows of its own; its rest is packed like a short one. Nothing is left out.
Longest first, equal ones by document, each goes to the window with the least room that holds it;
of windows with equal room to the one that has had it for longest; else into a new one. Since this
fixes which tokens a sample holds, it has a name and a version, and manifests keep it.

Windows are told apart by their room alone, so the work follows the number of different lengths.
Source: Ding et al. 2024, arXiv:2404.10830 [RW].
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

PACKING = "best-fit@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """P parts of documents in W windows of `sequence_length` places.

    A window's parts lie end to end in their order, the longest first. A part that is a document's
    last one is closed by the end-of-document token: that is a label, which takes no place.
    """

    sequence_length: int
    offsets: Ints
    """[W + 1]: window w has the parts offsets[w] to offsets[w + 1]."""
    document: Ints
    """[P]: number of the document."""
    start: Ints
    """[P]: its first token in this part."""
    length: Ints
    """[P]: its tokens in this part, as inputs; 0 for an empty document."""
    splits: int
    """Documents that are longer than a window, and so in several."""

    @property
    def windows(self) -> int:
        """How many there are."""
        return len(self.offsets) - 1

    @property
    def fill(self) -> float:
        """Part of all places that hold a token; 0 without a window."""
        places = self.windows * self.sequence_length
        return int(self.length.sum()) / places if places else 0.0

    @property
    def truncations(self) -> int:
        """Documents that lose tokens: none, whatever their length."""
        return 0

    def parts(self, window: int) -> slice:
        """The parts of a window."""
        return slice(int(self.offsets[window]), int(self.offsets[window + 1]))

    def windows_of(self, document: int) -> Ints:
        """The windows that hold a part of a document, rising."""
        at = np.flatnonzero(self.document == document)
        return np.searchsorted(self.offsets, at, side="right").astype(np.int64) - 1


def pack(tokens: Ints, sequence_length: int) -> Packing:
    """Documents with so many tokens each, end-of-document tokens not counted, in windows."""
    document, start, length = _parts(tokens, sequence_length)
    lengths, counts = _longest_first(tokens, sequence_length)
    window = _placed(lengths, counts, sequence_length)
    by_window = np.argsort(window, kind="stable")
    windows = int(window.max()) + 1 if len(window) else 0
    return Packing(
        sequence_length=sequence_length,
        offsets=np.searchsorted(window[by_window], np.arange(windows + 1)).astype(np.int64),
        document=document[by_window],
        start=start[by_window],
        length=length[by_window],
        splits=int((tokens > sequence_length).sum()),
    )


def packed_windows(tokens: Ints, sequence_length: int) -> int:
    """How many windows `pack` makes, without saying what is in them."""
    lengths, counts = _longest_first(tokens, sequence_length)
    moves = _moves(lengths, counts, sequence_length)
    return sum(move.windows for move in moves if move.room == sequence_length)


def _parts(tokens: Ints, most: int) -> tuple[Ints, Ints, Ints]:
    """Document, start and length of all parts, in the order in which they are placed."""
    counts = np.maximum(1, -(-tokens // most))
    document = np.repeat(np.arange(len(tokens), dtype=np.int64), counts)
    start = (np.arange(len(document)) - (np.cumsum(counts) - counts)[document]) * most
    length = np.minimum(most, tokens[document] - start)
    order = np.argsort(-np.maximum(1, length), kind="stable")
    return document[order], start[order], length[order]


def _longest_first(tokens: Ints, most: int) -> tuple[list[int], list[int]]:
    """The different numbers of places that parts take, falling, and how many parts do."""
    full, rest = np.divmod(tokens, most)
    short = np.bincount(rest[rest > 0], minlength=most + 1) if len(rest) else np.zeros(most + 1)
    short[1] += int((tokens == 0).sum())
    short[most] += int(full.sum())
    lengths = np.flatnonzero(short)[::-1]
    return lengths.tolist(), short[lengths].astype(np.int64).tolist()


class _Move(NamedTuple):
    """Parts of one length that go to windows of one room, one window after the other."""

    length: int
    room: int
    """Of the windows before; all of a window for new ones."""
    parts: int
    windows: int
    each: int
    """Parts that a window takes; the last one takes what is left."""


def _moves(lengths: list[int], counts: list[int], most: int) -> Iterator[_Move]:
    """What goes where. A window that took a part has less room than any other that holds one more,
    so it takes all that it can before the next one does.
    """
    having: dict[int, int] = {}
    rooms: list[int] = []
    for length, count in zip(lengths, counts, strict=True):
        while count:
            at = bisect_left(rooms, length)
            room = rooms[at] if at < len(rooms) else most
            each = room // length
            windows = -(-count // each)
            if at < len(rooms):
                windows = min(windows, having[room])
                having[room] -= windows
                if not having[room]:
                    del having[room], rooms[at]
            parts = min(count, windows * each)
            count -= parts
            yield _Move(length, room, parts, windows, each)
            last = parts - (windows - 1) * each
            for left, some in ((room - each * length, windows - 1), (room - last * length, 1)):
                if left and some:
                    if left not in having:
                        insort(rooms, left)
                    having[left] = having.get(left, 0) + some


def _placed(lengths: list[int], counts: list[int], most: int) -> Ints:
    """The window of each part, longest part first."""
    placed: list[int] = []
    having: dict[int, list[int]] = {}
    made = 0
    for length, room, parts, windows, each in _moves(lengths, counts, most):
        if room == most:
            taken = list(range(made, made + windows))
            made += windows
        else:
            waiting = having[room]
            taken, having[room] = waiting[:windows], waiting[windows:]
        last = parts - (windows - 1) * each
        if each == 1:
            placed += taken
        else:
            placed += [window for window in taken[:-1] for _ in range(each)]
            placed += taken[-1:] * last
        having.setdefault(room - each * length, []).extend(taken[:-1])
        having.setdefault(room - last * length, []).append(taken[-1])
    return np.array(placed, dtype=np.int64)
