"""What a layout takes of each GPU's memory, by arithmetic: the pipeline stage that takes most.

Weights, gradients and Adam's state follow from the parameters of a rank, activations from what
each operation keeps for the backward pass. What is left out (workspaces, the allocator's gaps,
buffers of the network) is a fixed reserve.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import islice

from manifests.errors import ConfigError
from trainer.model.config import ModelConfig, Recompute
from trainer.model.parallel import Parallel
from trainer.model.parameters import in_layer

GIB = 1 << 30
RESERVE = 4 * GIB
"""For the CUDA context, the network's buffers, workspaces and gaps [I]."""
GPUS = {
    "a100-40": ("NVIDIA A100", 40_960),
    "a100-80": ("NVIDIA A100", 81_920),
    "h100": ("NVIDIA H100", 81_559),
    "h200": ("NVIDIA H200", 143_771),
    "b200": ("NVIDIA B200", 183_359),
    "l40s": ("NVIDIA L40S", 46_068),
}
"""By name: how the driver calls it, and its memory in MiB as the driver tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a phase would be trained."""

    parallel: Parallel
    sequence_length: int
    micro_batch: int = 1
    recompute: Recompute = Recompute.NONE
    distributed_optimizer: bool = True
    """Its state is spread over the data-parallel ranks."""
    packed: bool = True
    """Layers of Transformer Engine: attention that keeps no scores, norms on parts of a sequence.
    Without, Megatron's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of the fullest GPU."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """Of all layers, and of all micro batches that are under way."""
    logits: int
    """With the loss and its gradient, at the last stage."""
    reserve: int = RESERVE

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def memory(config: ModelConfig, layout: Layout) -> Memory:
    """Of the fullest stage."""
    stages = range(layout.parallel.pipeline)
    return max((_stage(config, layout, stage) for stage in stages), key=lambda found: found.total)


def refuse_what_does_not_fit(config: ModelConfig, layout: Layout, available: int) -> Memory:
    """What the layout takes.

    Args:
        config: With a vocabulary.
        layout: Of the phase.
        available: Bytes of a GPU.

    Raises:
        ConfigError: It takes more; by how much, and what would fit.
    """
    found = memory(config, layout)
    if found.total > available:
        raise ConfigError(
            f"a GPU would need {found.total / GIB:.1f} GiB and has {available / GIB:.1f}:"
            f" {(found.total - available) / GIB:.1f} GiB too little;"
            f" {_hint(config, layout, available)}"
        )
    return found


def _hint(config: ModelConfig, layout: Layout, available: int) -> str:
    for changes, most in ((_single_changes, 4), (_all_changes, 1)):
        fitting = (
            told
            for told, other in changes(config, layout)
            if memory(config, other).total <= available
        )
        if found := list(islice(fitting, most)):
            return f"it fits with {', or '.join(found)}"
    return f"no layout of {layout.parallel.world} ranks fits; take more ranks"


def _single_changes(config: ModelConfig, layout: Layout) -> Iterator[tuple[str, Layout]]:
    """Layouts that differ in one thing, the cheapest in speed first."""
    if not layout.distributed_optimizer:
        yield "a distributed optimizer", replace(layout, distributed_optimizer=True)
    if layout.micro_batch > 1:
        yield "a micro batch of 1", replace(layout, micro_batch=1)
    for parallel in _layouts(config, layout):
        tensor, pipeline = parallel.tensor, parallel.pipeline
        if pipeline == layout.parallel.pipeline and tensor > layout.parallel.tensor:
            yield f"tensor parallel {tensor}", replace(layout, parallel=parallel)
        if tensor == layout.parallel.tensor and pipeline > layout.parallel.pipeline:
            yield f"pipeline parallel {pipeline}", replace(layout, parallel=parallel)
    kinds = list(Recompute)
    for kind in kinds[kinds.index(layout.recompute) + 1 :]:
        yield f"recompute {kind}", replace(layout, recompute=kind)


def _all_changes(config: ModelConfig, layout: Layout) -> Iterator[tuple[str, Layout]]:
    """Layouts that take little in all things, the fewest ranks a copy of the model first."""
    small = replace(layout, micro_batch=1, distributed_optimizer=True)
    for parallel in _layouts(config, layout):
        for kind in Recompute:
            told = (
                f"tensor parallel {parallel.tensor} and pipeline parallel {parallel.pipeline}"
                f" (micro batch 1, distributed optimizer, recompute {kind})"
            )
            yield told, replace(small, parallel=parallel, recompute=kind)


def _layouts(config: ModelConfig, layout: Layout) -> list[Parallel]:
    """All that divide, by ranks of a copy; no more than a machine's 8 a layer, whose network is
    the fast one.
    """
    world, found = layout.parallel.world, []
    for tensor in range(1, min(8, world) + 1):
        for pipeline in range(1, min(config.layers, world) + 1):
            with suppress(ConfigError):
                found.append(Parallel.of(world, tensor, pipeline, config))
    return sorted(found, key=lambda one: (one.tensor * one.pipeline, one.pipeline))


def _stage(config: ModelConfig, layout: Layout, stage: int) -> Memory:
    parallel, last = layout.parallel, layout.parallel.pipeline - 1
    count = stage_parameters(config, parallel, stage)
    # Gradients are summed in float32; Adam keeps two moments, and of bf16 weights a float32 copy.
    weight, state = (2, 12) if config.precision == "bf16" else (4, 8)
    spread = parallel.data if layout.distributed_optimizer else 1
    tokens = layout.micro_batch * layout.sequence_length
    layers = config.layers // parallel.pipeline
    # In the schedule of one forward, one backward a stage waits for those behind it.
    under_way = parallel.pipeline - stage
    kept = layers * under_way * layer_activations(config, layout)
    once = _recomputed_at_once(config, layout)
    return Memory(
        weights=weight * count,
        gradients=4 * count,
        optimizer=state * count // spread,
        activations=tokens * (kept + once),
        logits=tokens * _logits(config, layout) if stage == last else 0,
    )


def stage_parameters(config: ModelConfig, parallel: Parallel, stage: int) -> int:
    """Of a rank of a pipeline stage; norms are whole on each of a layer's ranks."""
    last = parallel.pipeline - 1
    norms = 2 * config.hidden
    layer = (in_layer(config) - norms) // parallel.tensor + norms
    embedding = config.rows * config.hidden // parallel.tensor
    count = config.layers // parallel.pipeline * layer
    count += embedding if stage == 0 else 0
    if stage == last:
        count += config.hidden
        count += embedding if last or not config.tied else 0
    return count


def layer_activations(config: ModelConfig, layout: Layout) -> int:
    """Bytes that a layer keeps of a token.

    Source: the accounting of Korthikanti et al. 2022 (arXiv 2205.05198), section 4 [RW], for
    RMSNorm, SwiGLU, grouped queries and no dropout.
    """
    size = 2 if config.precision == "bf16" else 4
    queries = config.heads * config.head_dim
    keys = config.kv_heads * config.head_dim
    # Inputs of the norms and of the two linear layers behind them; only these are whole on each of
    # a layer's ranks, and not with sequence parallelism.
    whole = 4 * size * config.hidden
    if layout.recompute is Recompute.FULL:
        whole, split = size * config.hidden, 0
    else:
        # Both halves of the gated layer and their product; what attention gives.
        split = size * (3 * config.ffn + queries) + _attention(config, layout, queries, keys)
    tensor = layout.parallel.tensor
    return whole // (tensor if layout.packed else 1) + split // tensor


def _attention(config: ModelConfig, layout: Layout, queries: int, keys: int) -> int:
    """Inside of attention: what the scores are made of, and the scores where they are kept."""
    size = 2 if config.precision == "bf16" else 4
    rotated = size * (2 * queries + 3 * keys)
    if layout.packed:
        return rotated + 4 * config.heads
    if layout.recompute is Recompute.SELECTIVE:
        return rotated
    # Keys and values once a query head; the softmax in float32 and, of bf16, once more.
    scores = config.heads * layout.sequence_length * (6 if size == 2 else 4)
    return 3 * size * queries + scores


def _recomputed_at_once(config: ModelConfig, layout: Layout) -> int:
    """Bytes a token of the one layer that is being recomputed."""
    if layout.recompute is Recompute.NONE:
        return 0
    kept = layer_activations(config, layout)
    return layer_activations(config, replace(layout, recompute=Recompute.NONE)) - kept


def _logits(config: ModelConfig, layout: Layout) -> int:
    """Bytes a token: logits, a float32 copy that becomes their softmax, and their gradient; input
    and output of the last norm.
    """
    size = 2 if config.precision == "bf16" else 4
    width = config.rows // layout.parallel.tensor
    return width * (2 * size + 4) + 2 * size * config.hidden
