"""One phase, from its first step, or from its newest checkpoint, to its last."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from manifests.errors import ScriptoriumError
from trainer.loop.cuts import micro_batches, position_of
from trainer.loop.disk import Disk
from trainer.loop.evaluation import evaluate
from trainer.loop.keeper import Keeper
from trainer.loop.logbook import Logbook, write_seam
from trainer.loop.machine import Machine
from trainer.loop.metrics import Speed, memory
from trainer.loop.optimizer import set_rates
from trainer.loop.ranks import largest
from trainer.loop.samples import Samples
from trainer.loop.seeds import seed_step
from trainer.loop.signals import Asked
from trainer.loop.state import RECENT, Origin
from trainer.loop.step import Sums, forward, learn, means
from trainer.loop.task import Task
from trainer.losses.batch import Batch
from trainer.losses.objective import Objective

_BROKEN = 1000
"""Beside the numbers of signals: the disk failed a rank."""
SEAM_STEPS = 3
"""Global batches of a new phase that are looked at before its first update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a phase came."""

    phase: str
    step: int
    steps: int
    loss: float | None
    """Of the last step; None where none is known."""
    checkpoint: str
    signal: int = 0
    """What ended it early, 0 when nothing did."""


class PhaseRun:
    """A phase that is being trained, on one rank."""

    def __init__(
        self,
        task: Task,
        machine: Machine,
        objective: Objective,
        samples: Samples,
        origin: Origin | None,
    ) -> None:
        self._task, self._machine, self._samples = task, machine, samples
        self._objective, self._origin = objective, origin
        self._disk = Disk()
        self._keeper = Keeper(task, machine, self._disk, objective.name, origin)
        self._losses = list(task.resumed[1].recent_losses) if task.resumed else []

    def go(self, asked: Asked) -> Outcome:
        """Train until the phase is over, or a signal came."""
        task = self._task
        if task.origin and not task.resumed:
            self._seam()
        place = self._machine.place
        with self._disk.noting():
            logbook = Logbook(task.folder, task.phase.name, task.begin, task.stop, place)
        self._keeper.agree(task.begin)
        try:
            signal = self._train(asked, logbook)
        finally:
            logbook.close()
        return Outcome(
            phase=task.phase.name,
            step=self._keeper.saved,
            steps=task.phase.steps,
            loss=self._losses[-1] if self._losses else None,
            checkpoint=str(self._keeper.newest),
            signal=signal,
        )

    def _train(self, asked: Asked, logbook: Logbook) -> int:
        task = self._task
        batches = logbook.watched(self._samples.batches(task.begin, task.stop))
        signal = 0
        for step in range(task.begin, task.stop):
            self._step(step, batches, logbook)
            done, over = step + 1, step + 1 == task.stop
            if over or (task.request.eval_every and done % task.request.eval_every == 0):
                self._evaluate(step, logbook)
            signal = self._asked(asked, done)
            if over or signal or done % task.request.save_every == 0:
                with self._disk.noting():
                    logbook.sync()
                self._keeper.save(done, self._losses)
            if signal:
                break
        return signal

    def _asked(self, asked: Asked, done: int) -> int:
        """The signal that came to any rank; ends the run where the disk failed one of them."""
        found = largest(_BROKEN if self._disk.failure else asked.number, self._machine.device)
        if found == _BROKEN:
            self._keeper.agree(done)
        return found

    def _step(self, step: int, batches: Iterator[Batch], logbook: Logbook) -> None:
        task = self._task
        rate = task.schedule.at(step)
        set_rates(self._machine.optimizer, rate, task.settings.weight_decay)
        seed_step(task.settings.model_seed, step)
        began = time.perf_counter()
        sums, norm = learn(self._machine, self._objective, batches, self._micro_batches(step))
        found = means(sums)
        self._refuse_what_is_no_number(step, found["loss"], norm)
        self._losses = [*self._losses, found["loss"]][-RECENT:]
        first, stop = position_of(task.phase, step), position_of(task.phase, step + 1)
        tokens = (stop - first) * task.phase.sequence_length
        speed = Speed(
            tokens=tokens, flops_per_token=self._machine.flops_per_token, peak=self._machine.peak
        )
        told = {
            "positions": [first, stop - 1],
            **found,
            "learned": int(sums["loss"][1]),
            "learning_rate": rate,
            "grad_norm": norm,
            **speed.of(time.perf_counter() - began),
            "memory": memory(),
        }
        with self._disk.noting():
            logbook.step(step, told)

    def _refuse_what_is_no_number(self, step: int, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        phase, saved = self._task.phase, self._keeper.saved
        last = f"the last checkpoint is that of step {saved:,}" if saved >= 0 else "no checkpoint"
        raise ScriptoriumError(
            f"phase {phase.name}, step {step:,}: the loss is {loss} and the norm of its gradient"
            f" {norm}; {last}: lower the learning rate, or look at what the step trains on with"
            f" manifest at {phase.name} {step} {self._task.request.ref}"
        )

    def _micro_batches(self, step: int) -> int:
        machine = self._machine
        return micro_batches(
            self._task.phase,
            step,
            data_parallel=machine.place.parallel.data,
            micro_batch=machine.micro_batch,
        )

    def _evaluate(self, step: int, logbook: Logbook) -> None:
        for held in self._task.evaluations:
            data = self._samples.of(held)
            most = self._task.request.eval_samples
            found = evaluate(self._machine, held, data, most)
            with self._disk.noting():
                logbook.evaluation(step, held.name, found)

    def _seam(self) -> None:
        """Look at the first batches of the phase with the weights that the last one left."""
        assert self._task.origin
        assert self._origin
        stop = min(SEAM_STEPS, self._task.stop)
        batches = self._samples.batches(0, stop, ahead=False)
        found = [self._forward(step, batches) for step in range(stop)]
        if self._machine.place.first:
            before = {**asdict(self._origin), "losses": self._task.origin[1].recent_losses}
            after = {
                "phase": self._task.phase.name,
                "loss": self._objective.name,
                "losses": [means(sums)["loss"] for sums in found],
            }
            with self._disk.noting():
                write_seam(self._task.folder, before, after)

    def _forward(self, step: int, batches: Iterator[Batch]) -> Sums:
        number = self._micro_batches(step)
        return forward(self._machine, self._objective, batches, number)
