"""What each rank really trained on: the positions of its samples, step by step.

`manifest where` computes at which steps a record is trained on; this log is what it can be held
against. One file a data-parallel rank, one line a step, positions as ranges.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.loop.lines import Lines, keep_until

Ints = npt.NDArray[np.int64]
FOLDER = "seen"


def seen_file(folder: Path, rank: int) -> Path:
    """The log of one data-parallel rank."""
    return folder / FOLDER / f"rank-{rank:05d}.jsonl"


def forget_after(folder: Path, done: int) -> None:
    """Cut what any rank has told of steps from `done` on; ranks of another layout too."""
    for path in sorted((folder / FOLDER).glob("rank-*.jsonl")):
        kept = keep_until(path.read_bytes(), done)
        with path.open("r+b") as file:
            file.truncate(kept)


class Seen:
    """The log of this rank; of several that read the same samples one writes."""

    def __init__(self, folder: Path, rank: int, done: int) -> None:
        self._lines = Lines(seen_file(folder, rank), done)
        self._positions: list[Ints] = []

    def note(self, positions: Ints) -> None:
        """These samples go into the model."""
        self._positions.append(positions)

    def end_step(self, step: int) -> None:
        """Write down what went into it; steps have the numbers of the manifest."""
        self._lines.write({"step": step, "positions": ranges(self._positions)})
        self._positions = []

    def sync(self) -> None:
        """Bring it to the disk."""
        self._lines.sync()

    def close(self) -> None:
        """No more of this phase."""
        self._lines.close()


def ranges(positions: Iterable[Ints]) -> list[list[int]]:
    """Positions as [first, last] of runs, in order."""
    found = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *positions]))
    if not len(found):
        return []
    breaks = np.flatnonzero(np.diff(found) != 1)
    first = found[np.concatenate([[0], breaks + 1])]
    last = found[np.concatenate([breaks, [len(found) - 1]])]
    return [[low, high] for low, high in zip(first.tolist(), last.tolist(), strict=True)]
