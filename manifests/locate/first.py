"""The first position at which two manifests train on something else in a phase, exactly.

Segments of the same arrangement have the same order; then only what their tables do not share can
differ, and it is known where that comes up. Otherwise the orders are compared in growing blocks,
and different arrangements differ soon.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from manifests.locate.contents import Contents, body_of
from manifests.locate.shelf import Names, Shelf, compare
from manifests.order import Places
from manifests.resolve.types import Body, Head, Phase, Segment
from manifests.windows import Ints

Walked = Callable[[int, int], None]
"""Told how many positions are compared, and how many there are."""

_MOST = 1 << 20
"""Samples of a leaf that may differ; if more may, walking finds one soon."""
_BLOCK = 1 << 16
_GROWTH = 4


def first_difference(
    old: Contents, new: Contents, name: str, progress: Walked | None = None
) -> int | None:
    """The first position of this phase that holds other tokens of other documents or files.

    None when there is none. Where one phase ends and the other goes on, they differ.

    Raises:
        ConfigError: Not a phase of both.
        DataError: A table or a shard is broken.
    """
    before, after = old.phase(name), new.phase(name)
    if before.sequence_length != after.sequence_length:
        return 0
    pair = _Pair(old, new, before, after, progress)
    common = min(before.samples, after.samples)
    stops = {one.stop for phase in (before, after) for one in phase.segments}
    bounds = [0, *sorted(stop for stop in stops if stop < common), common]
    for start, stop in pairwise(bounds):
        found = pair.first(start, stop)
        if found is not None:
            return found
    return None if before.samples == after.samples else common


class _Pair:
    """A phase of two manifests."""

    def __init__(
        self,
        old: Contents,
        new: Contents,
        before: Phase,
        after: Phase,
        progress: Walked | None,
    ) -> None:
        self._contents = (old, new)
        self._phases = (before, after)
        self._orders = tuple(
            contents.manifest.order(phase.name)
            for contents, phase in zip(self._contents, self._phases, strict=True)
        )
        self._length = before.sequence_length
        self._names = Names()
        self._shelves: dict[tuple[int, Body], Shelf] = {}
        self._progress = progress

    def first(self, start: int, stop: int) -> int | None:
        """The first difference between two positions that lie in one segment on either side."""
        at = [_segment_at(phase, start) for phase in self._phases]
        candidates = self._candidates(at, start, stop)
        positions: Sequence[int] | Ints = range(start, stop) if candidates is None else candidates
        done, size = 0, 1
        while done < len(positions):
            block = np.asarray(positions[done : done + size], dtype=np.int64)
            found = self._first_of(at, block)
            if found is not None:
                return found
            done, size = done + len(block), min(size * _GROWTH, _BLOCK)
            if self._progress:
                self._progress(done, len(positions))
        return None

    def _candidates(self, at: Sequence[int], start: int, stop: int) -> Ints | None:
        """Positions where there can be a difference, sorted; None for all."""
        segments = self._segments(at)
        seeds = {contents.manifest.root.seed for contents in self._contents}
        if len(seeds) > 1 or _arrangement(segments[0]) != _arrangement(segments[1]):
            return None
        found = [np.empty(0, dtype=np.int64)]
        supplies = zip(segments[0].supplies, segments[1].supplies, strict=True)
        for number, (one, other) in enumerate(supplies):
            for in_head in (False, True) if one.head else (False,):
                body, replaced = body_of(one, in_head), body_of(other, in_head)
                if body.table == replaced.table:
                    continue
                samples = self._shelf(0, body).differing(self._shelf(1, replaced), _MOST)
                if samples is None:
                    return None
                found.append(self._orders[0].occurrences(at[0], number, in_head, samples)[1])
        positions = np.unique(np.concatenate(found))
        return positions[(positions >= start) & (positions < stop)]

    def _first_of(self, at: Sequence[int], positions: Ints) -> int | None:
        """The first of these, all of one segment on either side, that differs."""
        old, new = (order.places(positions) for order in self._orders)
        kinds = np.stack([old.supply, old.in_head, new.supply, new.in_head])
        same, unsure = (np.empty(len(positions), dtype=np.bool_) for _ in range(2))
        kinds, which = np.unique(kinds, axis=1, return_inverse=True)
        for number, (supply, in_head, other, other_in_head) in enumerate(kinds.T.tolist()):
            here = np.flatnonzero(which.ravel() == number)
            body = self._body(0, at, supply, in_head)
            replaced = self._body(1, at, other, other_in_head)
            if body == replaced:
                same[here], unsure[here] = old.sample[here] == new.sample[here], False
                continue
            one, two = self._shelf(0, body), self._shelf(1, replaced)
            same[here], unsure[here] = compare(
                one, old.sample[here], two, new.sample[here], self._length
            )
        for number in np.flatnonzero(~same).tolist():
            if not unsure[number] or self._differs(at, (old, new), number):
                return int(positions[number])
        return None

    def _differs(self, at: Sequence[int], places: Sequence[Places], number: int) -> bool:
        """Whether the documents themselves do."""
        held = []
        for side, (contents, found) in enumerate(zip(self._contents, places, strict=True)):
            body = self._body(side, at, int(found.supply[number]), bool(found.in_head[number]))
            spans = contents.spans(body, self._length, int(found.sample[number]))
            held.append(
                [
                    (
                        contents.row(body.table, span.shard).sha256,
                        int(contents.documents(body.table, span.shard).rows[span.document]),
                        span.start,
                        span.length,
                    )
                    for span in spans
                ]
            )
        return held[0] != held[1]

    def _segments(self, at: Sequence[int]) -> list[Segment]:
        return [phase.segments[number] for phase, number in zip(self._phases, at, strict=True)]

    def _body(self, side: int, at: Sequence[int], supply: int, in_head: bool | int) -> Body:
        return body_of(self._phases[side].segments[at[side]].supplies[supply], bool(in_head))

    def _shelf(self, side: int, body: Body) -> Shelf:
        if (side, body) not in self._shelves:
            manifest = self._contents[side].manifest
            self._shelves[side, body] = Shelf(manifest, body, self._length, self._names)
        return self._shelves[side, body]


def _segment_at(phase: Phase, position: int) -> int:
    return bisect_right([segment.stop for segment in phase.segments], position)


def _arrangement(segment: Segment) -> object:
    """All that the order of a segment follows from, but the seed and the name of the phase."""
    supplies = [
        (
            one.leaf,
            one.planned or one.quota,
            one.cursor,
            one.first_epoch,
            _size(one.body),
            _head(one.head),
        )
        for one in segment.supplies
    ]
    return segment.start, segment.first_step, segment.global_batch, supplies


def _head(head: Head | None) -> object:
    if head is None:
        return None
    return head.epoch, head.start, head.holes, head.taken, head.count, _size(head.body)


def _size(body: Body) -> object:
    return body.layout, body.samples
