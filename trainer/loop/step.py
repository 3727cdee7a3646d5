"""One step of training or of evaluation: micro batches through Megatron's schedule, sums back.

Losses are sums and counts to the end, so a number does not depend on how the global batch was cut
into micro batches and ranks.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from trainer.loop.machine import Machine
from trainer.losses.objective import Metrics, Objective, Tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.losses.batch import Batch

Sums = dict[str, tuple[float, float]]
"""By metric the sum and the count over the global batch."""


def forward(
    machine: Machine,
    objective: Objective,
    batches: Iterator["Batch"],
    micro_batches: int,
    *,
    samples: int = 0,
    learn: bool = False,
) -> Sums:
    """Sums over all ranks of so many micro batches a rank; with `learn` the gradients are there
    then, scaled by the count of the whole. `samples` is the size of a micro batch, where it is not
    the machine's.
    """
    import torch
    from megatron.core.pipeline_parallel.schedules import get_forward_backward_func

    for chunk in machine.chunks:
        chunk.train(learn)
    with torch.set_grad_enabled(learn):  # Megatron's `forward_only` alone keeps all activations
        found: list[Metrics] = get_forward_backward_func()(
            forward_step_func=partial(_forward_step, machine.device, objective),
            data_iterator=batches,
            model=list(machine.chunks),
            num_microbatches=micro_batches,
            seq_length=machine.sequence_length,
            micro_batch_size=samples or machine.micro_batch,
            forward_only=not learn,
        )
    return _summed(found, machine.device)


def learn(
    machine: Machine, objective: Objective, batches: Iterator["Batch"], micro_batches: int
) -> tuple[Sums, float]:
    """A whole step: the sums, and the norm of the gradient before it was clipped."""
    for chunk in machine.chunks:
        chunk.zero_grad_buffer()
    machine.optimizer.zero_grad()
    sums = forward(machine, objective, batches, micro_batches, learn=True)
    _, norm, _ = machine.optimizer.step()
    return sums, float(norm) if norm is not None else 0.0


def _forward_step(
    device: "torch.device", objective: Objective, batches: Iterator["Batch"], model: Any
) -> tuple["Tensor", "partial[tuple[Tensor, Tensor, Metrics]]"]:
    tensors: Tensors = objective.tensors(next(batches), device)
    return objective.forward(model, tensors), partial(objective.loss, tensors)


def _summed(found: Sequence[Metrics], device: "torch.device") -> Sums:
    """Over micro batches and data-parallel ranks; told by the last pipeline stage to the others."""
    import torch
    from megatron.core import parallel_state

    names = _agreed_names(sorted({name for metrics in found for name in metrics}))
    values = torch.zeros(2 * len(names), dtype=torch.float64, device=device)
    for metrics in found:
        pairs = [value for name in names for value in metrics[name]]
        values += torch.stack([value.to(torch.float64) for value in pairs])
    torch.distributed.all_reduce(values, group=parallel_state.get_data_parallel_group())
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        last = parallel_state.get_pipeline_model_parallel_last_rank()
        group = parallel_state.get_pipeline_model_parallel_group()
        torch.distributed.broadcast(values, last, group=group)
    told = values.tolist()
    return {name: (told[2 * i], told[2 * i + 1]) for i, name in enumerate(names)}


def _agreed_names(mine: list[str]) -> list[str]:
    """The metrics' names, which only the last pipeline stage has."""
    import torch
    from megatron.core import parallel_state

    if parallel_state.get_pipeline_model_parallel_world_size() == 1:
        return mine
    told = [mine]
    torch.distributed.broadcast_object_list(
        told,
        parallel_state.get_pipeline_model_parallel_last_rank(),
        group=parallel_state.get_pipeline_model_parallel_group(),
    )
    return told[0]


def means(sums: Sums) -> dict[str, float]:
    """Each sum by its count; 0 where nothing was counted."""
    return {name: total / count if count else 0.0 for name, (total, count) in sums.items()}
