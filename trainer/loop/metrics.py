"""What a run tells while it goes: a JSON line a step, TensorBoard, a line for people on stderr."""

import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.loop.lines import Lines

FILE = "metrics.jsonl"
_QUIET_SECONDS = 1.0
"""Between two lines on stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What turns seconds into rates."""

    tokens: int
    """Input tokens of a step, over all ranks."""
    flops_per_token: float
    """Forward and backward."""
    peak: float | None
    """FLOP/s of all devices together; None: not known."""

    def of(self, seconds: float) -> dict[str, float | None]:
        """Tokens a second, and what part of the peak the model's operations are."""
        rate = self.tokens / seconds
        mfu = rate * self.flops_per_token / self.peak if self.peak else None
        return {"tokens_per_second": rate, "mfu": mfu}


class Metrics:
    """The logs of one phase; one rank of a run has them. Steps have the manifest's numbers."""

    def __init__(self, folder: Path, phase: str, done: int, steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._lines = Lines(folder / FILE, done)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done)
        self._phase, self._steps = phase, steps
        self._began: tuple[float, int] | None = None
        self._told = 0.0

    def step(self, step: int, found: Mapping[str, object]) -> None:
        """A step is over."""
        self._write({"step": step, "kind": "step", **found})
        now = time.monotonic()
        self._began = self._began or (now, step)
        if now - self._told >= _QUIET_SECONDS or step + 1 == self._steps:
            self._told = now
            print(self._text(step, found, now), file=sys.stderr, flush=True)

    def evaluation(self, step: int, name: str, found: Mapping[str, Any]) -> None:
        """A held-out set was looked at after a step: its loss, and by source."""
        self._write({"step": step, "kind": "evaluation", "set": name, **found}, f"{name}/")
        sources = ", ".join(f"{k} {v['loss']:.4f}" for k, v in found["sources"].items())
        text = f"{self._phase} {step + 1:,} | {name} {found['loss']:.4f} | {sources}"
        print(text, file=sys.stderr, flush=True)

    def sync(self) -> None:
        """Bring all of it to the disk, before a checkpoint says that these steps are done."""
        self._lines.sync()
        self._board.flush()

    def close(self) -> None:
        """No more of this phase."""
        self._lines.close()
        with suppress(OSError):  # as the lines: who needed it on the disk has asked for `sync`
            self._board.close()

    def _write(self, line: Mapping[str, Any], prefix: str = "") -> None:
        self._lines.write(line)
        for name, value in line.items():
            if isinstance(value, float):
                self._board.add_scalar(f"{prefix}{name}", value, line["step"])
        for source, part in line.get("sources", {}).items():
            self._board.add_scalar(f"{prefix}{source}", part["loss"], line["step"])

    def _text(self, step: int, found: Mapping[str, Any], now: float) -> str:
        assert self._began is not None
        parts = [f"{self._phase} {step + 1:,}/{self._steps:,}", f"loss {found['loss']:.4f}"]
        parts += [f"lr {found['learning_rate']:.2e}", f"grad {found['grad_norm']:.2f}"]
        parts.append(f"{found['tokens_per_second']:,.0f} tokens/s")
        if found["mfu"] is not None:
            parts.append(f"MFU {found['mfu']:.1%}")
        began, first = self._began
        if step > first:
            left = (now - began) / (step - first) * (self._steps - step - 1)
            parts.append(f"{_clock(left)} left")
        return " | ".join(parts)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def memory() -> int:
    """Bytes: the most that a GPU had allocated, without one the most this process had."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
