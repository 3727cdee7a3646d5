"""Positions dealt out to sources by exact quotas, so that every prefix has every source's share.

A Huffman tree over the quotas: at a node of T positions, A of them in its left branch, position k
goes left iff floor((k+1)A/T) > floor(kA/T), as number floor(kA/T) of the left, else right as number
k - floor(kA/T). So a source at depth d gets exactly its quota, in order, and in any prefix is less
than d off its share; none is rounded away. Back up: the a-th of the left stands at
ceil((a+1)T/A) - 1, the r-th of the right at floor(rT/(T-A)). Memory follows the sources only.
"""

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MAX_TOTAL = (1 << 50) - 1
"""Largest sum of quotas."""

_BLOCK = 1 << 14
"""Positions at a time, so that they stay in the cache from node to node."""

# Every quotient here is floor(x), or ceil(x) - 1 for x > 0, of some x = k*p/q <= 2^50 with k, p, q
# whole and at most 2^50. It is estimated by y = fl(k * fl(fl(p/q) * _DOWN)). With u = 2^-53, each
# of the three roundings errs by a factor of 1 +- u at most and _DOWN is 1 - 4u, so for x > 0
#     x > x (1-4u) (1+u)^3 >= y >= x (1-4u) (1-u)^3 > x (1-8u) >= x - 1
# (0 is estimated by 0),
# and floor(y) is the quotient or one less. The remainder, numerator - floor(y)*q, therefore lies in
# [0, 2q) and fits into 64 bits; taken in wrapping arithmetic it is exact although k*p overflows,
# and it tells which of the two it is.
_DOWN = 1 - 2.0**-51


class Interleave:
    """The order of `sum(quotas)` positions; a source with a quota of zero never comes up.

    Raises:
        ValueError: no quotas, a negative one, or 2^50 and more together.
    """

    def __init__(self, quotas: Sequence[int] | Ints) -> None:
        sizes = [int(quota) for quota in quotas]
        if not sizes or min(sizes) < 0 or sum(sizes) > MAX_TOTAL:
            raise ValueError("quotas must be one or more, none negative, below 2^50 together")
        self.total = sum(sizes)
        self._sources = len(sizes)
        largest = sizes.index(max(sizes))
        self._branches = _huffman(sizes)
        self._sizes = sizes
        """Of the sources, then of the inner nodes, the root last."""
        self._root = len(sizes) - 1 if self._branches else largest
        self._up: dict[int, tuple[int, bool]] = {}
        for node, branches in enumerate(self._branches, self._sources):
            for branch, is_left in zip(branches, (True, False), strict=True):
                self._up[branch] = (node, is_left)
        # The same as arrays, for `_descend`; it never reads the rows of sources.
        self._size = np.array(sizes, dtype=np.int64)
        self._branch = np.zeros(2 * len(sizes), dtype=np.intp)
        self._branch[2 * self._sources :] = np.array(self._branches, dtype=np.intp).ravel()
        self._left = self._size[self._branch[::2]]
        self._ratio = self._left / np.maximum(self._size, 1) * _DOWN

    def locate(self, positions: Ints) -> tuple[Ints, Ints]:
        """The source of each position, and the how-manieth of that source it is, from 0."""
        source = np.full(len(positions), self._root, dtype=np.intp)
        index = np.array(positions, dtype=np.int64)
        if len(index) and (index.min() < 0 or index.max() >= self.total):
            raise ValueError(f"positions outside of 0 to {self.total - 1}")
        for start in range(0, len(index), _BLOCK):
            block = slice(start, start + _BLOCK)
            self._descend(source[block], index[block])
        return source.astype(np.int64, copy=False), index

    def position(self, source: int, index: Ints) -> Ints:
        """Where the index-th samples of a source stand."""
        if len(index) and (index.min() < 0 or index.max() >= self._sizes[source]):
            raise ValueError(f"numbers outside of 0 to {self._sizes[source] - 1}")
        place = np.array(index, dtype=np.int64)
        for start in range(0, len(place), _BLOCK):
            self._ascend(source, place[start : start + _BLOCK])
        return place

    def counts(self, k: int) -> Ints:
        """How many of each source stand at the first k positions."""
        if not 0 <= k <= self.total:
            raise ValueError(f"{k} of {self.total} positions")
        of = [0] * len(self._sizes)
        of[self._root] = k
        for node in range(len(of) - 1, self._sources - 1, -1):
            left, right = self._branches[node - self._sources]
            of[left] = of[node] * self._sizes[left] // self._sizes[node]
            of[right] = of[node] - of[left]
        return np.array(of[: self._sources], dtype=np.int64)

    def _descend(self, source: npt.NDArray[np.intp], index: Ints) -> None:
        """From the root to the leaves, in place."""
        if self._root < self._sources:
            return
        node, k = source, index
        below: npt.NDArray[np.intp] | slice = slice(None)
        while len(node):
            total, left = self._size.take(node), self._left.take(node)
            share = (k * self._ratio.take(node)).astype(np.int64)
            rest = k * left
            rest -= share * total
            over = rest >= total
            share += over
            rest -= total * over
            right = rest < total - left
            node = self._branch.take(2 * node + right)
            k = np.where(right, k - share, share)
            leaf = node < self._sources
            if leaf.any():
                source[below], index[below] = node, k
                inner = np.flatnonzero(~leaf)
                below = inner if isinstance(below, slice) else below[inner]
                node, k = node[inner], k[inner]

    def _ascend(self, source: int, k: Ints) -> None:
        """From a leaf to the root, in place."""
        node = source
        while node != self._root:
            parent, is_left = self._up[node]
            size, total = self._sizes[node], self._sizes[parent]
            k += is_left
            guess = (k * (total / size * _DOWN)).astype(np.int64)
            k *= total
            k -= is_left
            k -= guess * size
            guess += k >= size
            k[:] = guess
            node = parent


def _huffman(sizes: list[int]) -> list[tuple[int, int]]:
    """The branches of the inner nodes, whose sizes are appended; ties go by number.

    The larger branch is the left one. The last node is the root, if there is any inner node.
    """
    heap = [(size, node) for node, size in enumerate(sizes) if size]
    heapq.heapify(heap)
    branches = []
    while len(heap) > 1:
        (small, right), (large, left) = heapq.heappop(heap), heapq.heappop(heap)
        branches.append((left, right))
        heapq.heappush(heap, (small + large, len(sizes)))
        sizes.append(small + large)
    return branches
