"""One phase, from its first step, or from its newest checkpoint, to its last."""

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.errors import ScriptoriumError
from manifests.resolve.types import ORDER
from trainer.data.loader import loader
from trainer.data.samples import PhaseData
from trainer.loop import checkpoint, directories
from trainer.loop.cuts import micro_batches, position_of, segment_of
from trainer.loop.heldout import evaluate
from trainer.loop.machine import build
from trainer.loop.metrics import Metrics, Speed, memory
from trainer.loop.optimizer import set_rates
from trainer.loop.pinning import hold, let_go
from trainer.loop.ranks import agree, barrier, largest
from trainer.loop.seeds import seed_step
from trainer.loop.seen import Seen, forget_after
from trainer.loop.signals import Asked
from trainer.loop.state import RECENT, Origin, State
from trainer.loop.step import forward, learn, means
from trainer.loop.task import Task
from trainer.losses.batch import Batch
from trainer.model.parallel import Parallel

SEAM_STEPS = 3
"""Global batches of a new phase that are looked at before its first update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a phase came."""

    phase: str
    step: int
    steps: int
    checkpoint: str
    loss: float | None
    """Of the last step; None where no step was done."""
    signal: int = 0
    """What ended it early, 0 when nothing did."""


class PhaseRun:
    """A phase that is being trained, on one rank."""

    def __init__(self, task: Task, parallel: Parallel) -> None:
        self.task, self.parallel = task, parallel
        self._first = parallel.rank == 0
        self._prepare_folder()
        self.machine = build(task, parallel)
        self.data = PhaseData(task.manifest, task.phase, task.request.cache)
        self._check()
        self._load()
        self._recent = list(task.resumed[1].recent_losses) if task.resumed else []
        self._saved = task.begin if task.resumed else -1
        self._seen: Seen | None = None
        self._metrics: Metrics | None = None
        self._waited = 0.0

    def go(self, asked: Asked) -> Outcome:
        """Train until the phase is over, or a signal came."""
        if self.task.origin and not self.task.resumed:
            self._seam()
        self._open_logs()
        try:
            signal = self._steps(asked)
        finally:
            self._close_logs()
        step = max(self._saved, self.task.begin)
        return Outcome(
            phase=self.task.phase.name,
            step=step,
            steps=self.task.phase.steps,
            checkpoint=str(directories.directory_of(self.task.checkpoints, step)),
            loss=self._recent[-1] if self._recent else None,
            signal=signal,
        )
