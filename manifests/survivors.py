"""What is left of an epoch begun earlier: the ranks from `start` on, less the holes, numbered anew.

Number to rank and back are searches in the sorted holes; nothing is held for the ranks themselves.
"""

import numpy as np
import numpy.typing as npt

from manifests.errors import DataError
from manifests.resolve.types import Head

Ints = npt.NDArray[np.int64]


class Survivors:
    """The ranks of a head's epoch that are still to be trained on.

    Raises:
        DataError: the holes are not sorted ranks of the head, or leave another count than it says.
    """

    def __init__(self, head: Head, holes: Ints) -> None:
        self.size = head.body.samples
        self.epoch = head.epoch
        self._start = head.start
        self._taken = head.taken
        self._holes = np.asarray(holes, dtype=np.int64)
        bounds = np.concatenate(([head.start - 1], self._holes, [self.size]))
        if np.any(np.diff(bounds) < 1):
            raise DataError(
                f"holes {head.holes} are not sorted ranks from {head.start} to {self.size - 1}: "
                "build the manifest again"
            )
        if self.size - head.start - len(self._holes) != head.taken + head.count:
            raise DataError(
                f"holes {head.holes}: {len(self._holes)} of them in ranks {head.start} to "
                f"{self.size - 1} do not leave {head.taken + head.count} samples: build the "
                "manifest again"
            )
        # Survivors before each hole.
        self._before = self._holes - head.start - np.arange(len(self._holes))

    def ranks(self, numbers: Ints) -> Ints:
        """The rank of the survivor of each number."""
        numbers = numbers + self._taken
        return self._start + numbers + np.searchsorted(self._before, numbers, side="right")

    def numbers(self, ranks: Ints) -> tuple[Ints, Ints]:
        """Which of the ranks survive (as indexes of that array), and their numbers."""
        before = np.searchsorted(self._holes, ranks)
        hole = np.concatenate((self._holes, [-1]))[before] == ranks
        numbers = ranks - self._start - before - self._taken
        kept = np.flatnonzero((ranks >= self._start) & ~hole & (numbers >= 0))
        return kept, numbers[kept]
