"""Memory for batches, used again once nobody holds what was made in it.

The kernel's work on fresh pages costs several times as much as writing ids and masks to them, and
whether the allocator gives pages back to it, and takes them anew for every batch, is chance.
"""

import sys

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
_Block = npt.NDArray[np.uint8]

KEPT = 4
"""Blocks, each of one batch: 3.7 MB for 8 windows of 16,384."""
_UNUSED = 3
"""References to a block that only `_block` and `_kept` have: list, loop, and the question itself.
Arrays and tensors made in it have one each."""


class Memory:
    """Of one reader; not for several threads at once."""

    def __init__(self) -> None:
        self._kept: list[_Block] = []
        self._counted = np.arange(0, dtype=np.int64)

    def arrays(self, rows: int, columns: int) -> tuple[Ints, Ints, Ints, Floats]:
        """Three arrays of whole numbers and one of floats, each [rows, columns]; not cleared."""
        size = rows * columns
        block = self._block(28 * size)
        numbers = block[: 24 * size].view(np.int64).reshape(3, rows, columns)
        floats = block[24 * size :].view(np.float32).reshape(rows, columns)
        return numbers[0], numbers[1], numbers[2], floats

    def counted(self, size: int) -> Ints:
        """0, 1, 2, ...; not to be written to."""
        if len(self._counted) < size:
            self._counted = np.arange(size, dtype=np.int64)
        return self._counted[:size]

    def _block(self, size: int) -> _Block:
        for block in self._kept:
            if len(block) == size and sys.getrefcount(block) == _UNUSED:
                return block
        block = np.empty(size, dtype=np.uint8)
        self._kept = [*self._kept[1 - KEPT :], block]
        return block
