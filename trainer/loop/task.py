"""One phase, made ready: everything that can be refused is refused here, before anything is written.

Every rank makes the same task from the same files. Torch is not needed for it.
"""

from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.resolve.types import ORDER, Phase
from manifests.store import Store, open_store
from trainer.loop.ancestry import refuse_other_manifest
from trainer.loop.directories import newest, open_checkpoint
from trainer.loop.heldout import HeldOut, held_out
from trainer.loop.request import NOWHERE, Request
from trainer.loop.schedule import Schedule
from trainer.loop.settings import Settings
from trainer.loop.state import State
from trainer.losses.choose import loss_of
from trainer.model.config import ModelConfig

Checkpoint = tuple[Path, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A phase to be trained."""

    request: Request
    store: Store
    manifest: Manifest
    phase: Phase
    settings: Settings
    schedule: Schedule
    model: ModelConfig
    evaluations: tuple[HeldOut, ...]
    resumed: Checkpoint | None
    """The phase's own newest checkpoint."""
    origin: Checkpoint | None
    """What it begins from where it has none of its own; None: from random weights."""

    @property
    def folder(self) -> Path:
        """Where all of the phase is."""
        return folder_of(self.request, self.phase.name)

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.folder / "checkpoints"

    @property
    def begin(self) -> int:
        """The first step to be trained."""
        return self.resumed[1].step if self.resumed else 0

    @property
    def stop(self) -> int:
        """The step to stop before."""
        steps = self.phase.steps
        return steps if self.request.steps is None else min(self.request.steps, steps)


def folder_of(request: Request, phase: str) -> Path:
    """Where all of a phase of a run is."""
    return request.out / phase


def open_manifest(request: Request) -> tuple[Store, Manifest]:
    """The manifest that a run names.

    Raises:
        ConfigError: There is none, or its order is computed otherwise.
    """
    store = open_store(request.root)
    manifest = Manifest(store, Refs(store).resolve(request.ref).digest)
    if manifest.root.order != ORDER:
        raise ConfigError(
            f"{request.ref}: its order is {manifest.root.order!r}, and this version computes"
            f" {ORDER!r}; train with the version that built it"
        )
    return store, manifest


def phases_of(request: Request, manifest: Manifest) -> list[Phase]:
    """The phases to be trained, one after another.

    Raises:
        ConfigError: There is no such phase, or a fact of one cannot be trained by.
    """
    there = {phase.name: phase for phase in manifest.root.phases}
    if strange := [name for name in request.phases if name not in there]:
        raise ConfigError(
            f"{request.ref} has no phase {strange[0]}; it has {', '.join(there)}"
        )
    found = [there[name] for name in request.phases or there]
    for phase in found:
        loss_of(phase.train)
        settings_of(request, phase).rates(phase.steps)
    return found


def settings_of(request: Request, phase: Phase) -> Settings:
    """How a phase trains, with what the command line says of it."""
    from dataclasses import replace

    model = ModelConfig.read(request.config)
    found = Settings.of(phase, model.training)
    if request.seed is not None:
        found = replace(found, model_seed=request.seed)
    if request.recompute is not None:
        found = replace(found, recompute=request.recompute)
    return found


def task_of(request: Request, store: Store, manifest: Manifest, phase: Phase, first: bool) -> Task:
    """One phase; `first`: whether it is the run's first, which `--init` is about.

    Raises:
        ConfigError: It cannot go on from what is there.
        DataError: A checkpoint is broken.
    """
    settings, model = settings_of(request, phase), ModelConfig.read(request.config)
    resumed = newest(folder_of(request, phase.name) / "checkpoints")
    if resumed:
        _refuse_other_run(request, manifest, model, settings, resumed)
    return Task(
        request=request,
        store=store,
        manifest=manifest,
        phase=phase,
        settings=settings,
        schedule=settings.rates(phase.steps),
        model=model,
        evaluations=tuple(held_out(store, name) for name in request.evaluations),
        resumed=resumed,
        origin=None if resumed else _origin(request, manifest, phase, model, first),
    )


def _refuse_other_run(
    request: Request, manifest: Manifest, model: ModelConfig, settings: Settings, found: Checkpoint
) -> None:
    path, state = found
    refuse_other_manifest(state, manifest, request.ref)
    _refuse_other_model(request, model, found)
    if state.precision != settings.precision:
        raise ConfigError(
            f"{path}: trained in {state.precision}, and this run is in {settings.precision}; go"
            " on in the same precision, or begin the phase from it with --init and another --out"
        )
    if state.seed != settings.model_seed:
        raise ConfigError(
            f"{path}: its seed is {state.seed}, and this run's is {settings.model_seed}; give"
            " the same --seed, or another --out"
        )


def _refuse_other_model(request: Request, model: ModelConfig, found: Checkpoint) -> None:
    path, state = found
    if state.model != model.digest:
        raise ConfigError(
            f"{path}: a checkpoint of {state.model_name} ({state.model[:12]}), and --config"
            f" {request.config} is {model.name} ({model.digest[:12]}); give the configuration that"
            " it was trained with, or another --out"
        )


def _origin(
    request: Request, manifest: Manifest, phase: Phase, model: ModelConfig, first: bool
) -> Checkpoint | None:
    """Where a phase begins that has no checkpoint of its own."""
    given = request.init if first else ""
    if given == NOWHERE:
        return None
    if given:
        found = open_checkpoint(Path(given))
    elif phase.after and (folder_of(request, phase.after) / "checkpoints").is_dir():
        found = open_checkpoint(folder_of(request, phase.after))
        _refuse_unfinished(request, manifest, phase, found)
    elif phase.after or loss_of(phase.train) != "language_model":
        why = f"goes on from {phase.after}" if phase.after else "learns from what a model can"
        raise ConfigError(
            f"phase {phase.name} {why}: give --init CHECKPOINT, or --init {NOWHERE} to begin"
            " from random weights"
        )
    else:
        return None
    _refuse_other_model(request, model, found)
    return found


def _refuse_unfinished(
    request: Request, manifest: Manifest, phase: Phase, found: Checkpoint
) -> None:
    path, state = found
    before = manifest.phase(phase.after)
    stop = before.steps if request.steps is None else min(request.steps, before.steps)
    if state.step < stop:
        raise ConfigError(
            f"phase {phase.after} is at step {state.step:,} of {before.steps:,}: train it to its"
            f" end, or begin {phase.name} there with --init {path}"
        )
