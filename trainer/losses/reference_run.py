"""`python -m trainer reference`: from names on a command line to numbers in the store."""

from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ConfigError
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.resolve.types import Phase
from manifests.store import open_store
from trainer.loop.directories import open_checkpoint
from trainer.loop.origins import refuse_other_model
from trainer.loop.ranks import barrier, from_first
from trainer.losses.choose import needs_reference
from trainer.losses.pairs import PhasePairs, phase_pairs
from trainer.losses.reference import checkpoint_digest
from trainer.losses.reference_store import ReferenceStore
from trainer.model.config import ModelConfig, read_config
from trainer.model.parallel import Parallel, ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asks for."""

    ref: str
    root: str
    phase: str
    init: Path
    """The checkpoint that the phase will begin with."""
    config: str
    """What the checkpoint is a model of."""
    cache: Path
    """A folder of this machine, for what is read of the store again and again."""
    micro_batch: int | None = None
    """None: as the configuration says."""
    tensor: int = 1
    pipeline: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What there is then."""

    manifest: str
    phase: str
    checkpoint: str
    """Digest."""
    pairs: int
    slices: int
    computed: int
    """Slices that were missing before."""
    address: str
    """Where they lie in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    manifest: Manifest
    phase: Phase
    pairs: PhasePairs
    path: Path
    """Of the checkpoint."""
    model: ModelConfig
    micro_batch: int
    parallel: Parallel


def compute(asked: Asked) -> Done:
    """Compute what is missing of a phase's reference; every rank calls it.

    Raises:
        ConfigError: No such phase or checkpoint, or they do not go together; nothing was written.
        DataError: The data or the checkpoint is broken.
        StoreFull: No room left; what is committed stays.
    """
    task = _task(asked)
    # What can be refused is refused before torch is imported, which takes a while.
    from trainer.model import parallel

    parallel.start(task.parallel)
    try:
        return _computed(task, asked.cache)
    finally:
        parallel.stop()


def _task(asked: Asked) -> _Task:
    store = open_store(asked.root)
    manifest = Manifest(store, Refs(store).resolve(asked.ref).digest)
    phase = Contents(manifest).phase(asked.phase)
    if not needs_reference(phase.train):
        raise ConfigError(
            f"phase {phase.name} has no reference: its loss is"
            f" {phase.train.get('loss', 'language_model')}, which does not learn from pairs"
        )
    path, state = open_checkpoint(asked.init)
    config = read_config(asked.config)
    model = config.model.with_facts(phase.train).with_vocabulary(state.vocabulary)
    refuse_other_model((path, state), model.digest(), config.name)
    return _Task(
        manifest=manifest,
        phase=phase,
        pairs=phase_pairs(manifest, phase),
        path=path,
        model=model,
        micro_batch=asked.micro_batch or config.training.micro_batch,
        parallel=Parallel.of(ranks(), asked.tensor, asked.pipeline, model),
    )


def _computed(task: _Task, cache: Path) -> Done:
    import torch

    from trainer.data.samples import PhaseData
    from trainer.loop import checkpoint
    from trainer.losses.reference_pass import Frozen, reference_pass
    from trainer.model.build import build_model
    from trainer.model.parallel import device

    first = torch.distributed.get_rank() == 0
    kept = ReferenceStore(
        store=task.manifest.store,
        manifest=task.manifest.digest,
        phase=task.phase.name,
        checkpoint=from_first(checkpoint_digest(task.path) if first else None),
        pairs=len(task.pairs),
    )
    missing = from_first(kept.missing() if first else None)
    if missing:
        if first:
            kept.begin()
        barrier()  # all have seen what is missing before it is not any more
        length = task.phase.sequence_length
        chunks = build_model(task.model, sequence_length=length, parallel=task.parallel)
        checkpoint.load(task.path, chunks, None)
        frozen = Frozen(
            chunks=chunks,
            device=device(),
            batch_of=PhaseData(task.manifest, task.phase.name, cache).batch,
            micro_batch=task.micro_batch,
        )
        reference_pass(task.manifest, task.pairs, kept, frozen, missing)
    barrier()
    return Done(
        manifest=kept.manifest,
        phase=kept.phase,
        checkpoint=kept.checkpoint,
        pairs=kept.pairs,
        slices=kept.slices,
        computed=len(missing),
        address=kept.address,
    )
