"""What the benchmarks share: the machine's state, two pinned cores, medians, one table.

Client and simulated teacher get a core each, so that neither steals from the other. A figure is the
median of the runs, with the smallest and the largest beside it; systems take turns, so that what
else happens on the machine hits all alike.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median

QUIET = 0.5
"""Load average, a core, below which a machine counts as quiet."""
CORES = sorted(os.sched_getaffinity(0))
"""That this process may use, before it is pinned."""


def options(about: str) -> argparse.ArgumentParser:
    """A parser with the flags that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="runs a system; the median is shown")
    return parser


def introduce(title: str, packages: Sequence[str]) -> None:
    """Say what is measured, with what, and whether the machine is quiet."""
    load = os.getloadavg()[0]
    cores = len(CORES)
    state = "quiet" if load < QUIET * cores else "NOT quiet: read ratios, not absolutes"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"\n## {title}")
    print(f"{cores} cores, load average {load:.2f} at the start ({state})")
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    print(f"command: python -m benchmarks.{_own_name()} {' '.join(sys.argv[1:])}".rstrip())
    sys.stdout.flush()


def _own_name() -> str:
    return os.path.splitext(os.path.basename(sys.argv[0]))[0]


def pin(server: int) -> str:
    """Give this process one core and the process `server` another; what came of it."""
    if len(CORES) < 2:
        return "one core: client and server share it"
    os.sched_setaffinity(server, {CORES[0]})
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {CORES[-1]})
    return f"server on core {CORES[0]}, client on core {CORES[-1]}"


def cpu_seconds() -> float:
    """CPU time of this process, all its threads, in user and kernel mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True, slots=True)
class Spread:
    """Several runs of one figure."""

    runs: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.runs)

    def shown(self, digits: int = 2) -> str:
        if len(self.runs) == 1:
            return f"{self.middle:.{digits}f}"
        low, high = min(self.runs), max(self.runs)
        return f"{self.middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table whose columns line up."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    for line in lines:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
    sys.stdout.flush()


_LAUNCHER = """
import json, os, resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took, from its start to its end."""

    seconds: float
    """Wall clock."""
    cpu: float
    """CPU seconds in user and kernel mode, all threads."""
    megabytes: float
    """Peak resident memory (ru_maxrss), 10^6 bytes."""


def measured(
    command: Sequence[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    good: Container[int] = (0,),
) -> Cost:
    """Run a command in a process of its own; what it prints is thrown away.

    A bare interpreter starts it, since a process begins with the peak memory of what starts it.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    ended = subprocess.run(
        launcher, capture_output=True, text=True, cwd=folder, env=environment, check=True
    )
    status, seconds, cpu, kilobytes = json.loads(ended.stdout)
    if status not in good:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}: {ended.stderr}")
    return Cost(seconds=seconds, cpu=cpu, megabytes=kilobytes * 1024 / 1e6)
