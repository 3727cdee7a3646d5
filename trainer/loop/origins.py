"""Which checkpoint a phase begins from, and which it cannot go on with."""

from pathlib import Path

from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from trainer.loop.directories import open_checkpoint, steps_of
from trainer.loop.request import NOWHERE, Request
from trainer.loop.state import State
from trainer.losses.choose import loss_of, needs_reference

Checkpoint = tuple[Path, State]


def origin_of(
    request: Request, manifest: Manifest, phase: Phase, *, first: bool
) -> Checkpoint | None:
    """Where a phase begins that has no checkpoint of its own; None: at random weights.

    `first` says whether it is the run's first phase, which `--init` is about.

    Raises:
        ConfigError: Nobody said where, or there is nothing.
    """
    given = request.init if first else ""
    if given == NOWHERE and not needs_reference(phase.train):
        return None
    if given == NOWHERE:
        raise ConfigError(
            f"phase {phase.name} learns from pairs beside a reference model, its first weights:"
            " give a trained checkpoint as --init"
        )
    if given:
        return open_checkpoint(Path(given))
    if phase.after and steps_of(request.out / phase.after / "checkpoints"):
        found = open_checkpoint(request.out / phase.after)
        _refuse_unfinished(request, manifest, phase, found)
        return found
    if phase.after or loss_of(phase.train) != "language_model":
        why = f"goes on from {phase.after}" if phase.after else "learns on top of a trained model"
        raise ConfigError(
            f"phase {phase.name} {why}: give --init CHECKPOINT, or --init {NOWHERE} to begin with"
            " random weights"
        )
    return None


def refuse_other_model(found: Checkpoint, digest: str, name: str) -> None:
    """Raise ConfigError where a checkpoint is of another model than the configuration's."""
    path, state = found
    if state.model != digest:
        raise ConfigError(
            f"{path} is a checkpoint of {state.model_name} ({state.model[:12]}), and --config"
            f" {name} is another model ({digest[:12]}); give the configuration that it was trained"
            " with"
        )


def refuse_other_training(found: Checkpoint, precision: str, seed: int) -> None:
    """Raise ConfigError where a phase would not go on as it began."""
    path, state = found
    for what, was, now in (
        ("precision", state.precision, precision),
        ("seed", state.seed, seed),
    ):
        if was != now:
            raise ConfigError(
                f"{path} was trained with {what} {was}, and this run has {now}; go on as it began,"
                " or begin the phase anew in another --out"
            )


def refuse_other_optimizer(found: Checkpoint, asked: bool | None) -> None:
    """Raise ConfigError where the optimizer's state is to be loaded and cannot be."""
    path, state = found
    if not state.optimizer:
        raise ConfigError(
            f'{path} has weights only: set optimizer_state = "reset" in the phase\'s facts'
        )
    if asked is not None and asked != state.distributed_optimizer:
        option = "" if state.distributed_optimizer else "no-"
        raise ConfigError(
            f"{path}: its optimizer's state is read with --{option}distributed-optimizer only"
        )


def _refuse_unfinished(
    request: Request, manifest: Manifest, phase: Phase, found: Checkpoint
) -> None:
    path, state = found
    before = manifest.phase(phase.after)
    if state.step < request.stop_of(before):
        raise ConfigError(
            f"phase {phase.after} is at step {state.step:,} of {before.steps:,}: train it to its"
            f" end, or begin {phase.name} there with --init {path}"
        )
