"""What the program of a system tells, and how it measures."""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""Of delivering, at least one batch."""
WARM_UP = 0.25
"""Part of that which goes before, uncounted: files are opened on the way."""
SEED = 1234

Command = Callable[[argparse.Namespace], None]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One JSON line."""

    system: str
    samples: int
    seconds: float
    """From after the imports to the first batch in memory."""
    peak_bytes: int
    """Most resident memory on the way there, over what the imports left."""
    index_bytes: int
    """On disk, beside the tokens, when every file has been opened once."""
    tokens_per_s: float | None
    """Inputs of collated batches, one process; None where only the first batch was asked for."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Batches of a system that has been opened."""

    system: str
    samples: int
    batches: Iterator[Any]
    """Without an end."""
    tokens: Callable[[Any], int]
    """Inputs of a batch."""
    index_bytes: Callable[[], int]


def program(about: str | None, prepare: Command, measure: Command) -> None:
    """The two commands of a system."""
    arguments = _options(about or "").parse_args()
    if arguments.command == "prepare":
        shutil.rmtree(arguments.data, ignore_errors=True)
        prepare(arguments)
    else:
        measure(arguments)


def _options(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare")
    prepare.add_argument("corpus", type=Path)
    measure = commands.add_parser("measure")
    for command in (prepare, measure):
        command.add_argument("data", type=Path)
        command.add_argument("--length", type=int, default=4096)
        command.add_argument("--samples", type=float, help="0: as many as there are", default=0)
    measure.add_argument("--case", choices=["first", "resume", "deliver"], required=True)
    measure.add_argument("--masks", action="store_true", help="no attention across documents")
    measure.add_argument("--batch", type=int, default=8)
    measure.add_argument("--seconds", type=float, default=SECONDS)
    return parser


def measured(arguments: argparse.Namespace, load: Callable[[], Feed]) -> None:
    """Open the system and take the first batch, and more where speed is asked for; tell it."""
    watched = Watched.start()
    feed = load()
    next(feed.batches)
    seconds, peak = watched.seconds(), watched.peak()
    rate = None
    if arguments.case == "deliver":
        delivered(feed, WARM_UP * arguments.seconds)
        rate = delivered(feed, arguments.seconds)
    report = Report(
        system=feed.system,
        samples=feed.samples,
        seconds=seconds,
        peak_bytes=peak,
        index_bytes=feed.index_bytes(),
        tokens_per_s=rate,
    )
    print(json.dumps(asdict(report)), flush=True)


def delivered(feed: Feed, seconds: float) -> float:
    """Tokens a second."""
    began = time.perf_counter()
    tokens = 0
    while True:
        tokens += feed.tokens(next(feed.batches))
        spent = time.perf_counter() - began
        if spent >= seconds:
            return tokens / spent


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


def size_of(folder: Path, *patterns: str) -> int:
    """Bytes of the files below a folder."""
    return sum(f.stat().st_size for pattern in patterns for f in folder.rglob(pattern))
