"""What a run shows while it works: one line, rewritten in a terminal, repeated in a log."""

import sys
import time
from collections.abc import Sequence

from pipelines.report import Report
from pipelines.worker import WorkerSnapshot

LOG_SECONDS = 10.0
BAR = 24


class Progress:
    """Writes to stderr how far a run is."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._said = 0.0
        self._tokens: list[tuple[float, int]] = []

    def __call__(self, report: Report, workers: Sequence[WorkerSnapshot]) -> None:
        """Show the state, now in a terminal and now and then in a log."""
        now = time.monotonic()
        tokens = sum(endpoint.completion_tokens for w in workers for endpoint in w.pool.endpoints)
        self._tokens = [*self._tokens[-15:], (now, tokens)]
        line = self._line(report, workers)
        if self._terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif now - self._said >= LOG_SECONDS:
            self._said = now
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line."""
        if self._terminal:
            print(file=sys.stderr)

    def _line(self, report: Report, workers: Sequence[WorkerSnapshot]) -> str:
        full = round(BAR * report.committed / max(1, report.tasks))
        seconds = int(time.monotonic() - self._started)
        flying = sum(endpoint.in_flight for w in workers for endpoint in w.pool.endpoints)
        accepted = sum(w.accepted for w in workers)
        rejected = sum(w.rejected for w in workers)
        return (
            f"{seconds // 60:3d}:{seconds % 60:02d} [{'#' * full}{'.' * (BAR - full)}] "
            f"{report.committed}/{report.tasks} tasks · items {accepted} accepted "
            f"{rejected} rejected · {flying} calls in flight · {self._speed():.0f} tok/s"
            f"{_amounts(report)}{_trouble(workers)}"
        )

    def _speed(self) -> float:
        (first, before), (last, after) = self._tokens[0], self._tokens[-1]
        return max(0, after - before) / (last - first) if last > first else 0.0


def _amounts(report: Report) -> str:
    short = [a for a in report.amounts if a.have < a.wanted]
    told = "".join(f" · {a.name} {a.have:,}/{a.wanted:,} {a.unit}" for a in short[:3])
    more = len(short) - 3
    return told + (f" and {more} more" if more > 0 else "")


def _trouble(workers: Sequence[WorkerSnapshot]) -> str:
    if any(w.store_full for w in workers):
        return " · PAUSED: the store is full, or down to its reserve"
    if any(w.pool.paused_since is not None for w in workers):
        return " · PAUSED: no teacher answers, waiting for one"
    return ""
