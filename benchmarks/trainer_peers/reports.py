"""What a peer's program tells, and how it measures."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""Of delivering, at least one batch."""
SEED = 1234


@dataclass(frozen=True, kw_only=True)
class Report:
    """One JSON line. What a case does not measure is None."""

    system: str
    case: str
    """`first cold`, `first warm`, `resume`, `deliver`, `deliver masks`."""
    samples: int
    length: int
    first_batch_s: float | None = None
    """From after the imports to the first batch in memory."""
    peak_bytes: int | None = None
    """Most resident memory on the way there, over what the imports left."""
    index_bytes: int | None = None
    """On disk, beside the tokens."""
    tokens_per_s: float | None = None
    """Inputs of collated batches, one process, after the first batch."""
    resume_s: float | None = None
    """As first_batch_s, at half of the samples, in a new process."""
    note: str = ""


def options(about: str) -> argparse.ArgumentParser:
    """The two commands of a peer."""
    parser = argparse.ArgumentParser(description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare")
    prepare.add_argument("corpus", type=Path)
    measure = commands.add_parser("measure")
    for command in (prepare, measure):
        command.add_argument("data", type=Path)
        command.add_argument("--length", type=int, default=4096)
        command.add_argument(
            "--samples", type=float, help="all; 0: as many as there are", default=0
        )
    measure.add_argument("--case", choices=["first", "resume", "deliver"], required=True)
    measure.add_argument("--masks", action="store_true", help="no attention across documents")
    measure.add_argument("--batch", type=int, default=8)
    measure.add_argument("--seconds", type=float, default=SECONDS)
    return parser


@dataclass
class Watched:
    """Time and memory since it was made."""

    began: float
    base: int

    @classmethod
    def start(cls) -> "Watched":
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        return cls(began=time.perf_counter(), base=_status("VmRSS"))

    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def peak(self) -> int:
        return _status("VmHWM") - self.base


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024


def delivered(batches: Iterator[Any], count: Callable[[Any], int], seconds: float) -> float:
    """Tokens a second."""
    began = time.perf_counter()
    tokens = 0
    while True:
        tokens += count(next(batches))
        spent = time.perf_counter() - began
        if spent >= seconds:
            return tokens / spent


def tell(report: Report) -> None:
    print(json.dumps(asdict(report)), flush=True)


def size_of(folder: Path, *patterns: str) -> int:
    """Bytes of the files below a folder."""
    return sum(f.stat().st_size for pattern in patterns for f in folder.rglob(pattern))
