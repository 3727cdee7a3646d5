"""How a phase trains: its facts in the manifest, over the defaults of the model's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from manifests.errors import ConfigError
from manifests.resolve.types import Phase
from manifests.spec.facts import TRAIN
from trainer.loop.schedule import Decay, Schedule

Facts = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of the optimizer and the schedule, under the names of the facts.

    Defaults are ours [I] where the report gives none: Adam as GPT-3 had it, which phi-4 does not
    tell, and clipping at 1.
    """

    learning_rate: float
    min_learning_rate: float = 0.0
    schedule: str = "linear"
    warmup_steps: int = 0
    decay_steps: int = 0
    optimizer: str = "adamw"
    optimizer_state: str = "reset"
    weight_decay: float = 0.1
    """Constant in phi-4's pretraining [R]."""
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip_grad: float = 1.0
    model_seed: int = 1234
    recompute: bool = False

    @classmethod
    def of(cls, phase: Phase, defaults: Facts) -> Self:
        """Of a phase, over the defaults.

        Raises:
            ConfigError: A fact that nobody knows or that is not built here, or no learning rate.
        """
        known = [key.name for key in TRAIN]
        if strange := sorted(phase.train.keys() - set(known)):
            raise ConfigError(
                f"phase {phase.name}: the trainer does not know the fact"
                f"{'s' if len(strange) > 1 else ''} {', '.join(strange)}; it knows"
                f" {', '.join(known)}"
            )
        facts = {**defaults, **phase.train}
        if "learning_rate" not in facts:
            raise ConfigError(
                f"phase {phase.name} has no learning_rate: write it in"
                f" [phases.{phase.name}.train], or in [training] of the configuration"
            )
        mine = {field.name for field in fields(cls)}
        found = cls(**{name: value for name, value in facts.items() if name in mine})  # type: ignore[arg-type]  # read and checked by the spec
        found._refuse_what_is_not_built(phase.name)
        return found

    def rates(self, steps: int) -> Schedule:
        """The learning rates of a phase of so many steps."""
        return Schedule(
            decay=Decay(self.schedule),
            peak=self.learning_rate,
            minimum=self.min_learning_rate,
            steps=steps,
            warmup=self.warmup_steps,
            decay_steps=self.decay_steps,
        )

    def _refuse_what_is_not_built(self, phase: str) -> None:
        for name, value, built in (
            ("optimizer", self.optimizer, ("adamw", "adam", "sgd")),
            ("optimizer_state", self.optimizer_state, ("keep", "reset")),
        ):
            if value not in built:
                raise ConfigError(
                    f"phase {phase}: {name} = {value!r} is not built here; one of"
                    f" {', '.join(built)}"
                )
