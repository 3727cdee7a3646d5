"""The order of samples a second time, one number at a time, in plain whole numbers.

It is slow and has neither floats nor 64-bit words that run over; what `manifests.order` computes
must agree with it. Written from the same definitions (docs/manifests.md), without its code.
"""

import hashlib
import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from manifests.resolve.types import Phase, Segment, Supply

_WORD = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_ROUNDS = 6

Holes = Callable[[str], Sequence[int]]
"""From the digest of a head's holes to the sorted ranks."""


class Place(NamedTuple):
    """What stands at a position."""

    segment: int
    supply: int
    in_head: bool
    epoch: int
    sample: int


class PlainOrder:
    """The order of a phase."""

    def __init__(self, phase: Phase, seed: int, holes: Holes) -> None:
        self._phase = phase
        self._seed = seed
        self._holes = holes
        self._batch_key = key("scriptorium.order", "batch", str(seed), phase.name)
        self._trees = [Tree(planned(segment)) for segment in phase.segments]

    def place(self, position: int) -> Place:
        """What stands at a position of the phase."""
        number = next(i for i, one in enumerate(self._phase.segments) if position < one.stop)
        segment = self._phase.segments[number]
        batch, index = divmod(position - segment.start, segment.global_batch)
        keyed = mixed(self._batch_key, segment.first_step + batch)
        dealt = batch * segment.global_batch + permuted(index, segment.global_batch, keyed)
        chosen, of_supply = self._trees[number].at(dealt)
        supply = segment.supplies[chosen]
        in_head, epoch, rank, size = self._rank(supply, of_supply)
        leaf_key = key("scriptorium.order", "leaf", str(self._seed), supply.leaf)
        return Place(number, chosen, in_head, epoch, permuted(rank, size, mixed(leaf_key, epoch)))

    def _rank(self, supply: Supply, number: int) -> tuple[bool, int, int, int]:
        """Whether it is of the head; the epoch, the rank in it, and its samples."""
        head = supply.head
        if head and number < head.count:
            holes = self._holes(head.holes) if head.holes else ()
            rank = survivor(holes, head.start, head.taken + number)
            return True, head.epoch, rank, head.body.samples
        at = supply.cursor + number - (head.count if head else 0)
        turn, rank = divmod(at, supply.body.samples)
        return False, supply.first_epoch + turn, rank, supply.body.samples


def planned(segment: Segment) -> list[int]:
    """The quotas that the order follows: those before a change cut the segment short."""
    return [supply.planned or supply.quota for supply in segment.supplies]


def survivor(holes: Sequence[int], start: int, number: int) -> int:
    """The rank, from `start` on, of the sample of this number that is no hole."""
    rank = start + number
    while (beside := start + number + bisect_right(holes, rank)) != rank:
        rank = beside
    return rank


class Tree:
    """The interleave tree over quotas."""

    def __init__(self, quotas: Sequence[int]) -> None:
        self._sizes = dict(enumerate(quotas))
        self._branches: dict[int, tuple[int, int]] = {}
        self._leaves = len(quotas)
        heap = [(size, node) for node, size in self._sizes.items() if size]
        heapq.heapify(heap)
        while len(heap) > 1:
            (small, right), (large, left) = heapq.heappop(heap), heapq.heappop(heap)
            node = len(self._sizes)
            self._sizes[node], self._branches[node] = small + large, (left, right)
            heapq.heappush(heap, (small + large, node))
        self._root = heap[0][1] if heap else 0

    def at(self, k: int) -> tuple[int, int]:
        """Whose turn position k is, and the how-manieth of its own."""
        node = self._root
        while node in self._branches:
            left, right = self._branches[node]
            total, of_left = self._sizes[node], self._sizes[left]
            share = k * of_left // total
            if (k + 1) * of_left // total > share:
                node, k = left, share
            else:
                node, k = right, k - share
        return node, k

    def before(self, k: int) -> list[int]:
        """How many of each stand at the first k positions."""
        counts, waiting = [0] * self._leaves, [(self._root, k)]
        while waiting:
            node, count = waiting.pop()
            if node in self._branches:
                left, right = self._branches[node]
                share = count * self._sizes[left] // self._sizes[node]
                waiting += [(left, share), (right, count - share)]
            elif self._leaves:
                counts[node] = count
        return counts


def key(*parts: str) -> int:
    """64 bits of the sha256 over the parts, each behind its length."""
    framed = b"".join(len(p.encode()).to_bytes(8, "big") + p.encode() for p in parts)
    return int(hashlib.sha256(framed).hexdigest()[:16], 16)


def mixed(base: int, number: int) -> int:
    """splitmix64 from `base`, its output of this number."""
    return _splitmix(base + (number + 1) * _GAMMA)


def permuted(x: int, n: int, keyed: int) -> int:
    """Where x, 0 <= x < n, goes: a Feistel network, walked until it is below n."""
    if n == 1:
        return 0
    half = max(3, ((n - 1).bit_length() + 1) // 2)
    while True:
        x = _network(x, half, keyed)
        if x < n:
            return x


def _network(x: int, half: int, keyed: int) -> int:
    high, low = x >> half, x & ((1 << half) - 1)
    for number in range(_ROUNDS):
        read = low if number % 2 == 0 else high
        word = _splitmix(keyed + (number + 1) * _GAMMA + read) >> (64 - half)
        if number % 2 == 0:
            high ^= word
        else:
            low ^= word
    return high << half | low


def _splitmix(z: int) -> int:
    z &= _WORD
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _WORD
    return z ^ z >> 31
