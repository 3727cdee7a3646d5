"""What is done to a soak: one blow after another, at times that a seed fixes, and in an order that
it draws or that is given.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.nodes import Nodes
from benchmarks.soak.teachers import Teacher
from benchmarks.soak.work import Round

WEIGHTS = {
    "kill worker": 8,
    "kill driver": 6,
    "kill raylet": 2,
    "kill head": 1,
    "kill teacher": 3,
    "teachers down": 2,
    "SIGTERM driver": 2,
    "disk full": 2,
}
DOWN_SECONDS = 15.0
FULL_SECONDS = 15.0


@dataclass(slots=True, kw_only=True)
class Trouble:
    """Strikes every `every` seconds, more or less."""

    nodes: Nodes
    teachers: Sequence[Teacher]
    disk: Path | None
    """A file system of its own, which may be filled; None where none could be made."""
    every: float
    seed: int
    order: Sequence[str] = ()
    """The blows, over and over; none: they are drawn by their weights."""
    blows: Counter[str] = field(default_factory=Counter)
    term_seconds: list[float] = field(default_factory=list)
    _draw: random.Random = field(init=False)
    _next: float = field(init=False)
    _until: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._next = time.monotonic() + self.every

    def look(self, current: Round) -> str | None:
        """End what is over, and strike if it is time; what was done."""
        now = time.monotonic()
        for due, undo in [one for one in self._until if one[0] <= now]:
            undo()
            self._until.remove((due, undo))
        if now < self._next:
            return None
        self._next = now + self.every * self._draw.uniform(0.5, 1.5)
        name = self._next_blow()
        if not self._strike(name, current):
            return None
        self.blows[name] += 1
        return name

    def _next_blow(self) -> str:
        if self.order:
            return self.order[self.blows.total() % len(self.order)]
        names = [n for n in WEIGHTS if n != "disk full" or self.disk]
        return self._draw.choices(names, [WEIGHTS[n] for n in names])[0]

    def calm(self) -> None:
        """End everything that goes on."""
        for _, undo in self._until:
            undo()
        self._until.clear()

    def _strike(self, name: str, current: Round) -> bool:
        if name == "kill worker":
            return self.nodes.kill_worker()
        if name == "kill driver":
            return current.kill_driver()
        if name == "SIGTERM driver":
            seconds = current.stop_driver()
            self.term_seconds += [] if seconds is None else [seconds]
            return seconds is not None
        if name in ("kill raylet", "kill head"):
            struck = self.nodes.kill_second() if name == "kill raylet" else self.nodes.kill_head()
            self.nodes.start()
            return struck
        if name == "kill teacher":
            self._draw.choice(self.teachers).kill()
            return True
        return self._teachers_down() if name == "teachers down" else self._fill()

    def _teachers_down(self) -> bool:
        for teacher in self.teachers:
            teacher.server.down(True)

        def back() -> None:
            for teacher in self.teachers:
                teacher.server.down(False)

        self._until.append((time.monotonic() + DOWN_SECONDS, back))
        return True

    def _fill(self) -> bool:
        assert self.disk is not None
        filler = self.disk / "filler"
        with filler.open("wb") as file:
            free = shutil.disk_usage(self.disk).free
            try:
                while free > 0:
                    free -= file.write(bytes(min(free, 2**24)))
                file.write(bytes(4096))
                file.flush()
            except OSError:
                pass  # full, as it should be
        self._until.append((time.monotonic() + FULL_SECONDS, filler.unlink))
        return True
