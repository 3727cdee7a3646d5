"""What the checks of models share: a tiny model, a batch, and steps of training on them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig

from trainer.loop.machine import Machine, place_of
from trainer.loop.optimizer import build_optimizer
from trainer.loop.settings import Settings
from trainer.loop.step import learn, means
from trainer.losses.choose import objective
from trainer.model.build import build_model
from trainer.model.config import ModelConfig, Recompute, read_config
from trainer.model.parallel import Parallel, device

LENGTH, VOCABULARY, SAMPLES = 32, 257, 4
LEARNED = objective({"loss": "language_model"})
CONFIG = read_config("tiny").model.with_vocabulary(VOCABULARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    tokens: Any
    labels: Any
    loss_mask: Any
    position_ids: Any
    cu_seqlens: Any
    positions: Any


def window(positions: list[int]) -> Window:
    """Samples that follow from their positions alone: runs of tokens, in two documents."""
    ids = np.stack([(np.arange(LENGTH + 1) * (p + 1) + p) % VOCABULARY for p in positions])
    shape = (len(positions), 1)
    return Window(
        tokens=ids[:, :-1].copy(),
        labels=ids[:, 1:].copy(),
        loss_mask=np.ones((len(positions), LENGTH), np.float32),
        position_ids=np.tile(np.arange(LENGTH), shape),
        cu_seqlens=np.tile(np.array([0, 11, LENGTH], np.int32), shape),
        positions=np.array(positions),
    )


def model(parallel: Parallel, config: ModelConfig = CONFIG, **options: Any) -> list[Any]:
    return build_model(config, sequence_length=LENGTH, parallel=parallel, seed=5, **options)


def machine(
    parallel: Parallel,
    config: ModelConfig = CONFIG,
    *,
    distributed: bool = False,
    recompute: Recompute = Recompute.NONE,
) -> Machine:
    """A model with all that it learns with."""
    chunks = [
        DistributedDataParallel(
            chunk.config,
            DistributedDataParallelConfig(
                grad_reduce_in_fp32=True, use_distributed_optimizer=distributed
            ),
            chunk,
        )
        for chunk in model(parallel, config, recompute=recompute)
    ]
    bf16 = config.precision == "bf16"
    return Machine(
        place=place_of(parallel),
        chunks=chunks,
        optimizer=build_optimizer(
            chunks, Settings(learning_rate=3e-3), bf16=bf16, distributed=distributed
        ),
        distributed=distributed,
        device=device(),
        sequence_length=LENGTH,
        micro_batch=2,
        flops_per_token=0.0,
        peak=None,
    )


def losses(machine: Machine, parallel: Parallel, steps: range) -> list[tuple[float, float]]:
    """Of each step the loss and the norm of the gradient."""
    found = []
    for step in steps:
        mine = torch.distributed.get_rank() if parallel.data > 1 else 0
        count = SAMPLES // parallel.data
        first = step * SAMPLES + mine * count
        batches = [window([at, at + 1]) for at in range(first, first + count, 2)]
        sums, norm = learn(machine, LEARNED, iter(batches), len(batches))
        found.append((means(sums)["loss"], norm))
    return found


def count(chunks: list[Any]) -> int:
    return sum(parameter.numel() for chunk in chunks for parameter in chunk.parameters())
