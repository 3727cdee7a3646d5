"""The learning rate of every step, as arithmetic: nothing of a schedule has to be saved.

A linear warm-up to the peak, then one of four ways down: `linear`, `cosine`, `constant`, or `wsd`
(warm-up, stable, a linear decay at the end). Every step learns: the first one at peak / warm-up,
the last one just above the minimum, which a schedule reaches only after its last step.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from manifests.errors import ConfigError


class Decay(StrEnum):
    """What follows the warm-up."""

    LINEAR = "linear"
    """phi-4's pretraining: a linear warm-up, then a linear decay [R]."""
    COSINE = "cosine"
    CONSTANT = "constant"
    WSD = "wsd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rates by step.

    Raises:
        ConfigError: The parts do not fit into the phase, or the minimum lies above the peak.
    """

    decay: Decay
    peak: float
    minimum: float = 0.0
    steps: int
    """Of the phase."""
    warmup: int = 0
    """Steps of linear warm-up."""
    decay_steps: int = 0
    """Steps of decay: right after the warm-up, for `wsd` the last ones. 0: all that follow the
    warm-up; for `wsd` a tenth of the phase [I]."""

    def __post_init__(self) -> None:
        if self.minimum > self.peak:
            raise ConfigError(
                f"min_learning_rate {self.minimum:g} is above learning_rate {self.peak:g}"
            )
        asked = self.warmup + (0 if self.decay is Decay.CONSTANT else self.decay_steps)
        if asked > self.steps:
            parts = f"warmup_steps {self.warmup:,}"
            parts += f" and decay_steps {self.decay_steps:,}" if asked > self.warmup else ""
            raise ConfigError(f"{parts} do not fit into a phase of {self.steps:,} steps")

    def at(self, step: int) -> float:
        """The learning rate of the update that step `step` (from 0) ends with."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return self.minimum + (self.peak - self.minimum) * self._height(step)

    def _height(self, step: int) -> float:
        """How far above the minimum, from 1 down to 0."""
        if self.decay is Decay.CONSTANT:
            return 1.0
        length = self._decay_length
        begins = self.steps - length if self.decay is Decay.WSD else self.warmup
        done = min(max(step - begins, 0) / length, 1.0) if length else 0.0
        return (1 + math.cos(math.pi * done)) / 2 if self.decay is Decay.COSINE else 1.0 - done

    @property
    def _decay_length(self) -> int:
        after = self.steps - self.warmup
        if self.decay_steps:
            return self.decay_steps
        return min(after, math.ceil(self.steps / 10)) if self.decay is Decay.WSD else after
