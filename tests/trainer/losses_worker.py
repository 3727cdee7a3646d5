"""One rank of the checks of the objectives; what it measured goes to a file of results."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state

from trainer.losses.choose import objective

VOCABULARY = 48
SAMPLES, LENGTH = 3, 16
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    tokens: Any
    labels: Any
    loss_mask: Any
    position_ids: Any
    cu_seqlens: Any
    positions: Any


def windows(seed: int) -> Window:
    random = np.random.default_rng(seed)
    ids = random.integers(0, VOCABULARY, (SAMPLES, LENGTH + 1))
    return Window(
        tokens=ids[:, :-1],
        labels=ids[:, 1:],
        loss_mask=(random.random((SAMPLES, LENGTH)) < 0.6).astype(np.float32),
        position_ids=np.tile(np.arange(LENGTH), (SAMPLES, 1)),
        cu_seqlens=np.tile(np.array([0, 7, LENGTH], dtype=np.int32), (SAMPLES, 1)),
        positions=np.arange(SAMPLES),
    )


def split_logits(seed: int) -> tuple[torch.Tensor, torch.Tensor, slice]:
    """Logits whole and this rank's part of them, both leaves."""
    generator = torch.Generator().manual_seed(seed)
    whole = 3 * torch.randn(SAMPLES, LENGTH, VOCABULARY, generator=generator)
    ranks = parallel_state.get_tensor_model_parallel_world_size()
    width = VOCABULARY // ranks
    start = parallel_state.get_tensor_model_parallel_rank() * width
    part = slice(start, start + width)
    return whole.requires_grad_(), whole[..., part].detach().clone().requires_grad_(), part


def gap(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).abs().max())


def z_loss() -> dict[str, float]:
    chosen = objective({"loss": "language_model", "z_loss": 0.01})
    tensors = chosen.tensors(windows(1), CPU)
    whole, local, part = split_logits(2)
    total, count, metrics = chosen.loss(tensors, local * 1.0)
    total.backward()
    normaliser = torch.logsumexp(whole, -1)
    labels = tensors["labels"][..., None]
    entropy = normaliser - whole.gather(-1, labels)[..., 0]
    plain = ((entropy + 0.01 * normaliser**2) * tensors["loss_mask"]).sum()
    plain.backward()
    return {
        "loss": gap(total, plain) / float(plain),
        "gradient": gap(local.grad, whole.grad[..., part]),
        "count": abs(int(count) - int(tensors["loss_mask"].sum())),
        "sum": gap(metrics["loss"][0] + metrics["z_loss"][0], total.detach()),
    }


CHECKS = {"z_loss": z_loss}


def main() -> None:
    rank, ranks, port, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)
    results = {}
    for tensor_parallel in (1, ranks):
        parallel_state.initialize_model_parallel(tensor_parallel, 1)
        for name, check in CHECKS.items():
            results[f"{name}_tp{tensor_parallel}"] = check()
        parallel_state.destroy_model_parallel()
    (out / f"{rank}.json").write_text(json.dumps(results))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
