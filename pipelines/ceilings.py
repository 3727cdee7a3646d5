"""What a run may cost at most: teacher tokens and hours, counted from what lies in the store.

Tokens are those that teachers wrote for the run's steps, whoever asked: the usage in the commits,
and the stored answers of tasks that have not committed. Hours are those in which a driver of the
run was at work, from a mark that each driver renews. Neither begins anew after a kill.
"""

import json
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from manifests import layout
from manifests.commits import read_commit
from manifests.errors import StoreFull
from manifests.fingerprint import canonical_json
from manifests.store import Store
from pipelines.answers import kept_answers
from pipelines.plan import Plan
from pipelines.step import committed_tasks
from pipelines.worker import WorkerSnapshot

RECOUNT_SECONDS = 30.0
"""How often a driver looks in the store for what another driver of the run has spent."""
MARK_SECONDS = 10.0
"""The most working time that a kill lets be forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """At which a run ends before it has what is asked; None for no such bound."""

    teacher_tokens: int | None = None
    """Written by teachers."""
    hours: float | None = None


class Spending:
    """Tokens that teachers wrote for the steps of a plan."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._steps = [step for step in plan.steps if step.asks_teacher]
        self._committed: dict[str, int] = {}
        self._counted = self._begun = self.recount()
        self._counted_at = time.monotonic()
        self._live: dict[str, int] = {}
        """By worker, those that died among them."""
        self._live_then = 0

    def recount(self) -> int:
        """What the store tells."""
        tokens = 0
        for step in self._steps:
            done = committed_tasks(self._store, step)
            for task in done - self._committed.keys():
                commit = read_commit(self._store, step.address, task)
                if commit is not None:
                    self._committed[task] = commit.stats.teacher.completion_tokens
            tokens += sum(self._committed.get(task, 0) for task in done)
            tokens += kept_answers(self._store, step.address, done).tokens
        return tokens

    def look(self, workers: Sequence[WorkerSnapshot]) -> int:
        """What is spent by now, the answers among it that are not yet in the store."""
        self._live |= {worker.name: worker.asked_tokens for worker in workers}
        live = sum(self._live.values())
        if time.monotonic() - self._counted_at > RECOUNT_SECONDS:
            self._counted, self._counted_at = self.recount(), time.monotonic()
            self._live_then = live
        # The store lags behind our workers, and our workers know nothing of another driver's.
        return max(self._begun + live, self._counted + live - self._live_then)


class WorkingTime:
    """The time in which some driver of a run was at work."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._prefix = store, layout.hours_prefix(run)
        self._key = f"{self._prefix}{secrets.token_hex(8)}.json"
        self._started = self._marked = time.time()
        self._others = self._read()

    def hours(self) -> float:
        """Up to now; two drivers at once count once. Renews this driver's mark now and then."""
        now = time.time()
        if now - self._marked > MARK_SECONDS:
            with suppress(StoreFull):  # a full store pauses the run: it is said again with room
                self.mark()
        return _covered([*self._others, (self._started, now)]) / 3600

    def mark(self) -> None:
        """Write down that this driver has worked until now."""
        self._marked = time.time()
        mark = {"started": self._started, "seen": self._marked}
        self._store.put(self._key, canonical_json(mark))
        self._others = self._read()

    def _read(self) -> list[tuple[float, float]]:
        keys = [key for key in self._store.list(self._prefix) if key != self._key]
        marks = [json.loads(self._store.get(key)) for key in keys]
        return [(mark["started"], mark["seen"]) for mark in marks]


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of these spans."""
    covered, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered


class Limits:
    """The ceilings of a run and how near it is."""

    def __init__(self, store: Store, plan: Plan, ceilings: Ceilings) -> None:
        self._ceilings = ceilings
        tokens = ceilings.teacher_tokens
        self._spending = None if tokens is None else Spending(store, plan)
        self._time = WorkingTime(store, plan.run)
        self._flying = 0
        self._spent = self._hours = 0.0
        self.look(())

    def look(self, workers: Sequence[WorkerSnapshot]) -> None:
        """Bring what is known up to date."""
        self._hours = self._time.hours()
        self._flying = sum(worker.asking for worker in workers)
        if self._spending is not None:
            self._spent = self._spending.look(workers)

    def close(self) -> None:
        """Write down how long this driver worked."""
        with suppress(StoreFull):
            self._time.mark()

    @property
    def left(self) -> int | None:
        """Tokens that may still be asked for; None where nothing bounds them."""
        if self._ceilings.teacher_tokens is None:
            return None
        return max(0, self._ceilings.teacher_tokens - int(self._spent))

    @property
    def held(self) -> bool:
        """Whether nothing may be begun any more."""
        return self.left == 0 or self._hours >= (self._ceilings.hours or float("inf"))

    @property
    def ended(self) -> str:
        """Which bound the run has come to, in words; empty while it may go on.

        At the bound on tokens no call begins, and the run ends when those that had begun are
        answered.
        """
        hours = self._ceilings.hours
        if hours is not None and self._hours >= hours:
            return f"--max-hours {hours:g}: {self._hours:.4g} hours of work"
        if self.left == 0 and not self._flying:
            most = self._ceilings.teacher_tokens
            return f"--max-teacher-tokens {most}: teachers wrote {int(self._spent)} tokens"
        return ""
