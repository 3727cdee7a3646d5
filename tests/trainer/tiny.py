"""A tiny model on the ranks of a test: its weights are the same under any layout."""

from typing import Any

from trainer.model.build import build_model
from trainer.model.config import ModelConfig
from trainer.model.parallel import Parallel, arrange

CONFIG = ModelConfig(
    layers=2,
    hidden=32,
    ffn=64,
    heads=4,
    kv_heads=2,
    head_dim=8,
    vocabulary=260,
    precision="fp32",
)


def tiny(length: int, tensor: int = 1, pipeline: int = 1) -> Any:
    """A model over the two ranks, which are arranged so, in Megatron's data-parallel wrapper."""
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig

    parallel = Parallel(tensor=tensor, pipeline=pipeline, data=2 // (tensor * pipeline))
    arrange(parallel)
    (chunk,) = build_model(CONFIG, sequence_length=length, parallel=parallel, seed=5)
    wrapping = DistributedDataParallelConfig(grad_reduce_in_fp32=True)
    return DistributedDataParallel(chunk.config, wrapping, chunk)
