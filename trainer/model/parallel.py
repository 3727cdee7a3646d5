"""How a model lies over ranks: `tensor` ranks share each layer, `pipeline` stages hold layers each,
and `data` copies of all that learn from different samples.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from manifests.errors import ConfigError
from trainer.model.config import ModelConfig
from trainer.model.shims import install

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """A layout; `tensor * pipeline * data` ranks."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1

    @property
    def world(self) -> int:
        """All ranks."""
        return self.tensor * self.pipeline * self.data

    @classmethod
    def of(cls, world: int, tensor: int, pipeline: int, config: ModelConfig) -> Self:
        """The layout over so many ranks.

        Raises:
            ConfigError: They do not divide so, or the model does not.
        """
        if tensor < 1 or pipeline < 1 or world % (tensor * pipeline):
            raise ConfigError(
                f"{world} ranks are not a multiple of tensor {tensor} x pipeline {pipeline};"
                f" start {tensor * pipeline} ranks or a multiple, or choose others"
            )
        for name in ("heads", "kv_heads", "ffn", "rows"):
            if (size := getattr(config, name)) % tensor:
                told = "rows of the embedding" if name == "rows" else name
                raise ConfigError(f"{told} {size:,} do not divide over tensor {tensor}")
        if config.layers % pipeline:
            raise ConfigError(f"layers {config.layers} do not divide over pipeline {pipeline}")
        return cls(tensor=tensor, pipeline=pipeline, data=world // (tensor * pipeline))


def ranks() -> int:
    """How many there are: as torchrun says it, one without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device() -> "torch.device":
    """What this rank computes on."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def start(parallel: Parallel, *, seed: int = 0) -> None:
    """Join the other ranks: gloo on CPUs, NCCL on GPUs, in this process alone without torchrun."""
    import torch

    if parallel.world != ranks():
        raise ConfigError(f"the layout needs {parallel.world} ranks and there are {ranks()}")
    install()
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    backend = "nccl" if here.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        torch.distributed.init_process_group(backend)
    else:
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    arrange(parallel, seed=seed)


def arrange(parallel: Parallel, *, seed: int = 0) -> None:
    """Give the ranks, which have joined, their parts; another arrangement ends with this."""
    from megatron.core import parallel_state
    from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed

    parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(parallel.tensor, parallel.pipeline)
    model_parallel_cuda_manual_seed(seed)


def stop() -> None:
    """Part from the other ranks."""
    import torch
    from megatron.core import parallel_state

    if torch.distributed.is_initialized():
        parallel_state.destroy_model_parallel()
        torch.distributed.destroy_process_group()
