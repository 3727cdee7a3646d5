"""The logs of a phase, on the ranks that write them: rank 0 the metrics, and of each group of ranks
that read the same samples one what it saw.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.loop.machine import Place
from trainer.loop.metrics import Metrics
from trainer.loop.seen import Seen
from trainer.losses.batch import Batch

SEAM_FILE = "seam.json"


def write_seam(folder: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Tell how a phase begins beside how the one before it ended; for rank 0."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{SEAM_FILE}.part"
    part.write_text(json.dumps({"from": before, "to": after}, indent=1) + "\n")
    part.replace(folder / SEAM_FILE)
    was = ", ".join(f"{loss:.4f}" for loss in before["losses"]) or "not known"
    now = ", ".join(f"{loss:.4f}" for loss in after["losses"])
    print(
        f"{before['phase'] or 'import'} ended with losses {was} | {after['phase']} begins with"
        f" {now}, before any update",
        file=sys.stderr,
    )


class Logbook:
    """What one rank writes down; nothing, where others do. `done` steps are told of already."""

    def __init__(self, folder: Path, phase: str, done: int, steps: int, place: Place) -> None:
        self._metrics = Metrics(folder, phase, done, steps) if place.first else None
        self._seen = Seen(folder, place.data_rank, done) if place.first_reader else None
        self.waited = 0.0
        """Seconds that the model has waited for samples."""

    def watched(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches, noted as they go into the model."""
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            if self._seen:
                self._seen.note(batch.positions)
            yield batch

    def step(self, step: int, found: Mapping[str, object]) -> None:
        """A step is over."""
        if self._seen:
            self._seen.end_step(step)
        if self._metrics:
            self._metrics.step(step, {**found, "waited": self.waited})
        self.waited = 0.0

    def evaluation(self, step: int, name: str, found: Mapping[str, Any]) -> None:
        """A held-out set was looked at after a step."""
        if self._metrics:
            self._metrics.evaluation(step, name, found)

    def sync(self) -> None:
        """Bring all of it to the disk, before a checkpoint says that these steps are done."""
        for log in (self._seen, self._metrics):
            if log:
                log.sync()

    def close(self) -> None:
        """No more of this phase."""
        for log in (self._seen, self._metrics):
            if log:
                log.close()
