"""What is measured while a soak goes on: how soon calls go on, and what processes take."""

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil


@dataclass(slots=True)
class Recovery:
    """From each blow to the next call that a teacher got."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _waiting: list[tuple[str, float, int]] = field(default_factory=list)

    def struck(self, blow: str, requests: int) -> None:
        """A blow fell when teachers had been asked so often."""
        self._waiting.append((blow, time.monotonic(), requests))

    def look(self, requests: int) -> None:
        """Teachers have been asked so often by now."""
        now = time.monotonic()
        for blow, since, before in self._waiting:
            if requests > before:
                self.seconds[blow].append(now - since)
        self._waiting = [one for one in self._waiting if requests <= one[2]]


LONG_SECONDS = 300.0


@dataclass(slots=True)
class Taken:
    """The most that any process of a kind held, and the growth of those that lived long."""

    most: dict[str, dict[str, int]] = field(default_factory=dict)
    _lives: dict[tuple[int, float], list[tuple[float, int]]] = field(default_factory=dict)
    """By process: when, and bytes, of its first minute's end and of its last look."""

    def look(self, kind: str, processes: Iterable[psutil.Process]) -> None:
        """Measure these processes."""
        for process in processes:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                size = process.memory_info().rss
                figures = {
                    "bytes": size,
                    "files": process.num_fds(),
                    "threads": process.num_threads(),
                }
                most = self.most.setdefault(kind, dict.fromkeys(figures, 0))
                for name, value in figures.items():
                    most[name] = max(most[name], value)
                if time.time() - process.create_time() > 60:  # what it took to start is no growth
                    life = self._lives.setdefault((process.pid, process.create_time()), [])
                    life[1:] = [(time.monotonic(), size)]  # the first look stays

    @property
    def growth(self) -> list[float]:
        """Bytes an hour, of each process that was watched for five minutes or more."""
        lives = [(life[0], life[-1]) for life in self._lives.values()]
        spans = [(last[0] - first[0], last[1] - first[1]) for first, last in lives]
        return [3600 * grown / seconds for seconds, grown in spans if seconds >= LONG_SECONDS]
