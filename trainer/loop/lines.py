"""Files of JSON lines that survive a kill: a torn last line goes, and no step is in them twice."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from manifests.errors import DataError


class Lines:
    """A file that lines are appended to, each about a step.

    What is there of steps from `done` on is cut off: a run that was killed has told of steps that
    its last checkpoint does not know, and it makes them again.
    """

    def __init__(self, path: Path, done: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = keep_until(path.read_bytes(), done) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(kept)

    def write(self, line: Mapping[str, object]) -> None:
        """Append a line; it is out of this process when this returns."""
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """No more lines. One that did not go out whole, to a full disk, is not tried again."""
        with suppress(OSError):
            self._file.close()


def keep_until(data: bytes, done: int) -> int:
    """How many bytes of JSON lines are whole and about steps before `done`."""
    kept = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            break
        if step >= done:
            break
        kept += len(line)
    return kept


def read_lines(path: Path) -> list[dict[str, object]]:
    """All whole lines of a file that may be growing.

    Raises:
        DataError: One is no line of ours.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [
        _parsed(line, f"{path}: line {number}")
        for number, line in enumerate(lines, 1)
        if line.endswith(b"\n")
    ]


def _parsed(line: bytes, where: str) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads(line)
        int(str(found["step"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} is not one of a trainer's log; was it edited?") from error
    return found
