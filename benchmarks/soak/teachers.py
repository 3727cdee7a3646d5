"""Simulated teachers with mixed faults, and what they were asked, over kills and restarts."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests.errors import TeacherUnavailable

MIXED: Sequence[dict[str, Any]] = (
    {"kind": "http_500", "rate": 0.01},
    {"kind": "http_429", "rate": 0.01, "retry_after": 1},
    {"kind": "reset", "rate": 0.005},
    {"kind": "half", "rate": 0.005},
    {"kind": "malformed", "rate": 0.005},
    {"kind": "hang", "rate": 0.001},
    {"kind": "empty_text", "rate": 0.004},
    {"kind": "truncated", "rate": 0.005},
    {"kind": "refusal", "rate": 0.005},
)
"""Five of a hundred requests meet one."""
ANSWERED = frozenset({"empty_text", "truncated", "refusal"})
"""Faults that come as an answer, which the run takes and judges."""


@dataclass(slots=True)
class Teacher:
    """One replica, its counts summed over its lives."""

    settings: Settings
    server: SimulatedTeacher = field(init=False)
    _before: Counter[str] = field(default_factory=Counter)
    _now: Counter[str] = field(default_factory=Counter)

    def start(self) -> None:
        """Start it, and let it fail as it should."""
        self.server = SimulatedTeacher(self.settings)
        self.server.__enter__()
        self.server.faults(MIXED)

    def look(self) -> Counter[str]:
        """Requests so far, and those of them that failed; polled, for a kill forgets them."""
        with suppress(OSError, TeacherUnavailable):
            stats = self.server.stats()
            failed = sum(n for kind, n in stats["errors"].items() if kind not in ANSWERED)
            self._now = Counter(requests=stats["requests"], failed=failed)
        return self._before + self._now

    def kill(self) -> None:
        """SIGKILL, and start it again on the same port."""
        self._before = self.look()
        self._now = Counter()
        self.server.kill()
        self.server.restart()
        self.server.faults(MIXED)

    def stop(self) -> None:
        """End it."""
        self.server.stop()
