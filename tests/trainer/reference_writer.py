"""A process that keeps made-up slices and kills itself at one of its writes.

    python -m tests.trainer.reference_writer ROOT PAIRS KILL_AT ADD

Write number KILL_AT is killed before it when KILL_AT is even, after it when odd; -1 for never.
"""

import os
import signal
import sys

import numpy as np
import pyarrow as pa

from manifests.stores.local import LocalStore
from trainer.losses import reference_store
from trainer.losses.pairs import NAMES
from trainer.losses.reference_store import ReferenceStore

MANIFEST, CHECKPOINT = "a" * 64, "b" * 64
SLICE_PAIRS = 10


class Killed(LocalStore):
    """Ends its process the hard way around a write."""

    kill_at = -1
    writes = 0

    def put(self, key: str, data: bytes) -> None:
        self._around(False)
        super().put(key, data)
        self._around(True)

    def create(self, key: str, data: bytes) -> bool:
        self._around(False)
        created = super().create(key, data)
        self._around(True)
        return created

    def _around(self, after: bool) -> None:
        if self.kill_at >= 0 and 2 * self.writes + after == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.writes += after


def kept(root: str, pairs: int) -> ReferenceStore:
    reference_store.SLICE_PAIRS = SLICE_PAIRS
    return ReferenceStore(
        store=Killed(root), manifest=MANIFEST, phase="dpo", checkpoint=CHECKPOINT, pairs=pairs
    )


def write(root: str, pairs: int, kill_at: int, add: float) -> None:
    found = kept(root, pairs)
    Killed.kill_at = kill_at
    found.begin()
    for number in found.missing():
        start, stop = found.span(number)
        places = list(range(start, stop))
        names = pa.table(
            [
                [f"pair {n}" for n in places],
                ["leaf"] * len(places),
                ["c" * 64] * len(places),
                places,
            ],
            schema=NAMES,
        )
        values = np.array([[n + add, -n - add] for n in places], dtype=np.float32)
        found.commit(number, names, values)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
