"""One phase, made ready: what can be refused is refused here, before anything is written.

Every rank makes the same task from the same files. Torch is not needed for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.resolve.types import ORDER, Phase
from manifests.spec.facts import Fact
from manifests.store import Store, open_store
from trainer.loop.ancestry import refuse_other_manifest
from trainer.loop.cuts import refuse_odd_batches
from trainer.loop.directories import newest, steps_of
from trainer.loop.heldout import HeldOut, held_out
from trainer.loop.origins import (
    Checkpoint,
    origin_of,
    refuse_other_model,
    refuse_other_optimizer,
    refuse_other_training,
)
from trainer.loop.overlap import refuse_trained_on
from trainer.loop.request import Request
from trainer.loop.schedule import Schedule
from trainer.loop.settings import Settings
from trainer.loop.state import State
from trainer.losses.choose import FACTS, loss_of
from trainer.model.config import Config, ModelConfig, read_config
from trainer.model.parallel import Parallel, ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all phases of a run share."""

    request: Request
    config: Config
    store: Store
    manifest: Manifest
    phases: tuple[Phase, ...]
    """Those to be trained, one after another."""
    evaluations: tuple[HeldOut, ...]


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
    model_name: str
    defaults: Mapping[str, Fact]
    """Facts, where the phase has none."""
    micro_batch: int
    parallel: Parallel
    evaluations: tuple[HeldOut, ...]
    resumed: Checkpoint | None
    """The phase's own newest checkpoint."""
    origin: Checkpoint | None
    """What it begins from where it has none of its own; None: random weights."""

    @property
    def folder(self) -> Path:
        """Where all of the phase is."""
        return self.request.out / self.phase.name

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
        return self.request.stop_of(self.phase)

    @property
    def facts(self) -> dict[str, Fact]:
        """Of the phase, over the defaults of the configuration that its objective has."""
        train = self.phase.train
        allowed = FACTS[loss_of(train)]
        return {k: v for k, v in self.defaults.items() if k in allowed} | train

    @property
    def with_optimizer_of(self) -> State | None:
        """The checkpoint whose optimizer state is loaded."""
        if self.resumed:
            return self.resumed[1]
        kept = self.settings.optimizer_state == "keep"
        return self.origin[1] if self.origin and kept else None


def open_run(request: Request) -> Run:
    """A run's manifest, configuration and phases.

    Raises:
        ConfigError: One is not there, or cannot be trained by.
    """
    config, store = read_config(request.config), open_store(request.root)
    manifest = Manifest(store, Refs(store).resolve(request.ref).digest)
    if manifest.root.order != ORDER:
        raise ConfigError(
            f"{request.ref}: its order is {manifest.root.order!r}, and this version computes"
            f" {ORDER!r}; train with the version that built it"
        )
    there = {phase.name: phase for phase in manifest.root.phases}
    if strange := [name for name in request.phases if name not in there]:
        raise ConfigError(f"{request.ref} has no phase {strange[0]}; it has {', '.join(there)}")
    phases = tuple(there[name] for name in request.phases or there)
    for phase in phases:
        loss_of(phase.train)
        settings = settings_of(request, config, phase)
        try:
            settings.rates(phase.steps)
        except ConfigError as error:
            raise ConfigError(f"phase {phase.name}: {error}") from error
    sets = [held_out(store, name, manifest.root.tokenizer) for name in request.evaluations]
    for held in sets:
        refuse_trained_on(held, manifest, phases)
    return Run(
        request=request,
        config=config,
        store=store,
        manifest=manifest,
        phases=phases,
        evaluations=tuple(sets),
    )


def settings_of(request: Request, config: Config, phase: Phase) -> Settings:
    """How a phase trains, with what the command line says of it."""
    found = Settings.of(phase, config.training.facts)
    if request.seed is not None:
        found = replace(found, model_seed=request.seed)
    if request.recompute is not None:
        found = replace(found, recompute=request.recompute)
    return found


def task_of(run: Run, phase: Phase, vocabulary: int) -> Task:
    """One phase of a run, whose tokens have `vocabulary` ids.

    Raises:
        ConfigError: It cannot go on from what is there, or does not divide over the ranks.
        DataError: A checkpoint is broken.
    """
    request, config = run.request, run.config
    settings = settings_of(request, config, phase)
    model = config.model.with_facts(phase.train).with_vocabulary(vocabulary)
    parallel = Parallel.of(ranks(), request.tensor, request.pipeline, model)
    resumed = newest(request.out / phase.name / "checkpoints")
    task = Task(
        request=request,
        store=run.store,
        manifest=run.manifest,
        phase=phase,
        settings=settings,
        schedule=settings.rates(phase.steps),
        model=model,
        model_name=config.name,
        defaults=config.training.facts,
        micro_batch=request.micro_batch or config.training.micro_batch,
        parallel=parallel,
        evaluations=run.evaluations,
        resumed=resumed,
        origin=None
        if resumed
        else origin_of(request, run.manifest, phase, first=phase is run.phases[0]),
    )
    _refuse(task)
    return task


def _refuse(task: Task) -> None:
    """Raise ConfigError where a phase cannot be trained so."""
    data, phase = task.parallel.data, task.phase
    refuse_odd_batches(phase, task.begin, data_parallel=data, micro_batch=task.micro_batch)
    if task.resumed:
        _refuse_overtaken(task)
        refuse_other_manifest(task.resumed[1], task.manifest, task.request.ref)
        refuse_other_training(task.resumed, task.model.precision, task.settings.model_seed)
    if found := task.resumed or task.origin:
        refuse_other_model(found, task.model.digest(), task.model_name)
        if task.with_optimizer_of:
            refuse_other_optimizer(found, task.request.distributed_optimizer)


def _refuse_overtaken(task: Task) -> None:
    """Raise ConfigError where the phase before it, in the same run, has gone on since it began."""
    assert task.resumed
    state = task.resumed[1]
    before = task.request.out / task.phase.after / "checkpoints"
    after_it = not task.request.phases or task.phase.after in task.request.phases
    if not (state.origin and after_it and Path(state.origin.path).parent == before):
        return
    if (newest_step := max(steps_of(before), default=0)) > state.origin.step:
        raise ConfigError(
            f"phase {task.phase.name} began from step {state.origin.step:,} of"
            f" {task.phase.after}, which is at step {newest_step:,} now: remove {task.folder} to"
            f" begin it anew, or go on as it is with --phase {task.phase.name}"
        )
