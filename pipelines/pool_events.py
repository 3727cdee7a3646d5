"""What happened to the teachers of a run, as its drivers saw it through their workers.

Every worker has a pool of its own, so one loss is seen by each; here it is one event with the
number of workers that saw it. Each driver keeps one object in the store and writes it again when
there is something new: `status` reads it when nobody is at work any more.
"""

import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from infra.teacher.events import EventKind, PoolEvent
from manifests import layout
from manifests.errors import StoreFull
from manifests.fingerprint import canonical_json
from manifests.store import Store

if TYPE_CHECKING:
    from pipelines.worker import WorkerSnapshot

TOGETHER_SECONDS = 60.0
"""Workers that see the same within this time see one event. [I]"""
KEPT = 1000
WRITE_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class Happened:
    """One event of a run."""

    at: float
    """Unix time of the first worker that saw it."""
    kind: EventKind
    teacher: str
    url: str
    detail: str
    workers: int = 1


@dataclass(slots=True)
class PoolEvents:
    """The events that one driver has heard of."""

    store: Store
    run: str
    happened: list[Happened] = field(default_factory=list)
    _heard: set[tuple[str, int]] = field(default_factory=set)
    _driver: str = field(default_factory=lambda: secrets.token_hex(8))
    _changed: bool = False
    _written: float = float("-inf")

    def look(self, workers: Iterable["WorkerSnapshot"]) -> None:
        """Take in what workers say, and write it down now and then."""
        for worker in workers:
            for event in worker.pool.events:
                if (worker.name, event.number) not in self._heard:
                    self._heard.add((worker.name, event.number))
                    self._add(event)
        if self._changed and time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Put what is new into the store; a full one is tried again later."""
        if not self._changed:
            return
        self._written = time.monotonic()
        key = layout.events_file(self.run, self._driver)
        with suppress(StoreFull):
            self.store.put(key, canonical_json(_ADAPTER.dump_python(self.happened, mode="json")))
            self._changed = False

    def _add(self, event: PoolEvent) -> None:
        self._changed = True
        of = (event.kind, event.teacher, event.url)
        for before in reversed(self.happened):
            close = abs(event.at - before.at) < TOGETHER_SECONDS
            if close and (before.kind, before.teacher, before.url) == of:
                before.workers += 1
                before.at = min(before.at, event.at)
                return
        self.happened.append(
            Happened(
                at=event.at,
                kind=event.kind,
                teacher=event.teacher,
                url=event.url,
                detail=event.detail,
            )
        )
        del self.happened[:-KEPT]


def read_events(store: Store, run: str) -> list[Happened]:
    """All events of a run, of all its drivers, in order."""
    keys = store.list(layout.events_prefix(run))
    found = [event for key in keys for event in _ADAPTER.validate_json(store.get(key))]
    return sorted(found, key=lambda event: event.at)


_ADAPTER = TypeAdapter(list[Happened])
