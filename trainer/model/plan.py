"""What a phase would cost: steps, tokens, operations, days, and the memory of each GPU."""

from dataclasses import dataclass

import numpy as np

from manifests.errors import ConfigError
from manifests.order import rank_of
from manifests.resolve.types import Phase
from trainer.loop.flops import flops_per_token
from trainer.model.config import Config, Recompute
from trainer.model.memory import Layout, Memory, refuse_what_does_not_fit
from trainer.model.parallel import Parallel

DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The GPUs, and how the model would lie on them."""

    gpus: int
    memory: int
    """Bytes of each."""
    peak: float
    """Dense bf16 FLOP/s of each."""
    mfu: float
    """The part of the peak that training is expected to reach."""
    tensor: int = 1
    pipeline: int = 1
    micro_batch: int | None = None
    """As the configuration has it, without one."""
    recompute: Recompute | None = None
    """As the phase or the configuration has it, without one."""
    distributed_optimizer: bool = True
    packed: bool = True
    """With Transformer Engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    """A phase on a cluster."""

    phase: str
    sequence_length: int
    global_batch: int
    """Samples of a step; of the first one, where a change makes others."""
    steps: int
    tokens: int
    """Padding counted."""
    flops: float
    days: float
    parallel: Parallel
    micro_batch: int
    recompute: Recompute
    memory: Memory


def plan_phase(config: Config, phase: Phase, cluster: Cluster) -> PhasePlan:
    """What it would cost.

    Args:
        config: With a vocabulary.
        phase: Of a manifest.
        cluster: What it would run on.

    Raises:
        ConfigError: The phase does not divide over the ranks, or a GPU's memory is too small.
    """
    model = config.model.with_facts(phase.train)
    parallel = Parallel.of(cluster.gpus, cluster.tensor, cluster.pipeline, model)
    layout = Layout(
        parallel=parallel,
        sequence_length=phase.sequence_length,
        micro_batch=cluster.micro_batch or config.training.micro_batch,
        recompute=_recompute(config, phase, cluster),
        distributed_optimizer=cluster.distributed_optimizer,
        packed=cluster.packed,
    )
    try:
        _refuse_odd_batches(phase, layout)
        taken = refuse_what_does_not_fit(model, layout, cluster.memory)
    except ConfigError as error:
        raise ConfigError(f"phase {phase.name}: {error}") from None
    tokens = phase.samples * phase.sequence_length
    flops = tokens * flops_per_token(model, phase.sequence_length)
    return PhasePlan(
        phase=phase.name,
        sequence_length=phase.sequence_length,
        global_batch=phase.segments[0].global_batch,
        steps=phase.steps,
        tokens=tokens,
        flops=flops,
        days=flops / (cluster.gpus * cluster.peak * cluster.mfu) / DAY,
        parallel=parallel,
        micro_batch=layout.micro_batch,
        recompute=layout.recompute,
        memory=taken,
    )


def _recompute(config: Config, phase: Phase, cluster: Cluster) -> Recompute:
    if cluster.recompute is not None:
        return cluster.recompute
    asked = phase.train.get("recompute", config.training.facts.get("recompute", False))
    return Recompute.FULL if asked else Recompute.NONE


def _refuse_odd_batches(phase: Phase, layout: Layout) -> None:
    for segment in phase.segments:
        rank_of(
            np.empty(0, dtype=np.int64),
            global_batch=segment.global_batch,
            data_parallel=layout.parallel.data,
            micro_batch=layout.micro_batch,
        )
