"""What a phase computes with: the model on its ranks, and the optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.loop.flops import flops_per_token, peak_of
from trainer.loop.optimizer import build_optimizer
from trainer.loop.task import Task
from trainer.model.build import build_model
from trainer.model.config import Recompute
from trainer.model.parallel import Parallel, device

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rank stands."""

    parallel: Parallel
    rank: int
    data_rank: int
    """Ranks with the same one read the same samples."""
    first_reader: bool
    """Whether it is the first of those."""

    @property
    def first(self) -> bool:
        """Whether it is the one that writes what is written once."""
        return self.rank == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Of one phase, on one rank."""

    place: Place
    chunks: Sequence[Any]
    """Of the model, in Megatron's data-parallel wrapper."""
    optimizer: Any
    distributed: bool
    """Whether the optimizer's state is spread over the data-parallel ranks."""
    device: "torch.device"
    sequence_length: int
    micro_batch: int
    flops_per_token: float
    peak: float | None
    """FLOP/s of all ranks together; None: not known."""


def place_of(parallel: Parallel) -> Place:
    """Where this rank stands among those that have started."""
    import torch
    from megatron.core import parallel_state

    stage = parallel_state.get_pipeline_model_parallel_rank()
    return Place(
        parallel=parallel,
        rank=torch.distributed.get_rank(),
        data_rank=parallel_state.get_data_parallel_rank(),
        first_reader=stage == parallel_state.get_tensor_model_parallel_rank() == 0,
    )


def build(task: Task, place: Place) -> Machine:
    """A phase's machine, with new weights."""
    here = device()
    distributed = distributes(task, here)
    chunks = build_model(
        task.model,
        sequence_length=task.phase.sequence_length,
        parallel=place.parallel,
        seed=task.settings.model_seed,
        recompute=Recompute.FULL if task.settings.recompute else Recompute.NONE,
    )
    wrapped = [_wrapped(chunk, here, distributed=distributed) for chunk in chunks]
    return Machine(
        place=place,
        chunks=wrapped,
        optimizer=build_optimizer(
            wrapped,
            task.settings,
            bf16=task.model.precision == "bf16",
            distributed=distributed,
        ),
        distributed=distributed,
        device=here,
        sequence_length=task.phase.sequence_length,
        micro_batch=task.micro_batch,
        flops_per_token=flops_per_token(task.model, task.phase.sequence_length),
        peak=_peak(task, place.parallel, here),
    )


def distributes(task: Task, here: "torch.device") -> bool:
    """Whether the optimizer is distributed: as asked, as the checkpoint's was, or on GPUs."""
    if task.request.distributed_optimizer is not None:
        return task.request.distributed_optimizer
    state = task.with_optimizer_of
    return state.distributed_optimizer if state else here.type == "cuda"


def _wrapped(chunk: Any, here: "torch.device", *, distributed: bool) -> Any:
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
    from megatron.core.utils import get_model_config

    config = get_model_config(chunk)
    overlap = here.type == "cuda"
    wrapped = DistributedDataParallel(
        config,
        DistributedDataParallelConfig(
            grad_reduce_in_fp32=True,
            overlap_grad_reduce=overlap,
            use_distributed_optimizer=distributed,
        ),
        chunk,
    )
    if overlap:  # gradients of all micro batches but the last stay here
        config.no_sync_func = wrapped.no_sync
    return wrapped


def _peak(task: Task, parallel: Parallel, here: "torch.device") -> float | None:
    import torch

    one = task.request.peak_flops
    if one is None and here.type == "cuda":
        one = peak_of(torch.cuda.get_device_name(here))
    return one * parallel.world if one else None
