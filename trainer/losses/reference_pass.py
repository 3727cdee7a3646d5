"""One pass of the frozen model over the different pairs of a phase, slice by slice.

Every data-parallel rank takes slices of its own; the tensor- and pipeline-parallel ranks of a model
go through a slice together, and one of them, which has the logits, keeps it. What a killed pass had
committed is not computed again.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from trainer.losses.batch import Batch
from trainer.losses.objective import Metrics, Tensors
from trainer.losses.pair_rows import ALL, Ints
from trainer.losses.pairs import PhasePairs, names_of
from trainer.losses.preference import log_probabilities, pair_tensors
from trainer.losses.reference_store import ReferenceStore, Values
from trainer.model.masks import call

if TYPE_CHECKING:
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """The reference model on this rank, and how it is fed."""

    chunks: Sequence[Any]
    """Of the model; not more than one."""
    device: "torch.device"
    batch_of: Callable[[Ints], Batch]
    """The samples at these positions of the phase."""
    micro_batch: int


def reference_pass(
    manifest: Manifest,
    pairs: PhasePairs,
    kept: ReferenceStore,
    frozen: Frozen,
    missing: Sequence[int],
) -> int:
    """Compute and keep these slices, the same on all ranks; how many this rank's model did.

    Raises:
        ConfigError: A pair is longer than the window.
        DataError: A shard is broken, or its documents are no pairs.
        StoreFull: No room left; what is committed stays.
    """
    from megatron.core import parallel_state

    contents = Contents(manifest)
    ranks = parallel_state.get_data_parallel_world_size()
    mine = missing[parallel_state.get_data_parallel_rank() :: ranks]
    writes = (
        parallel_state.is_pipeline_last_stage()
        and parallel_state.get_tensor_model_parallel_rank() == 0
    )
    for slice_index in mine:
        start, stop = kept.span(slice_index)
        # First, as they tell of pairs that do not fit, and are quick.
        names = names_of(contents, pairs, start, stop)
        values = _slice(pairs, start, stop, frozen)
        if writes and values is not None and not kept.commit(slice_index, names, values):
            logger.info("slice %d was committed by another pass, which counts", slice_index)
        logger.info("pairs %d to %d of %d", start, stop - 1, len(pairs))
    return len(mine)


def _slice(pairs: PhasePairs, start: int, stop: int, frozen: Frozen) -> Values | None:
    """[stop - start, 2] on the last pipeline stage, None on the others."""
    import torch
    from megatron.core.pipeline_parallel.schedules import get_forward_backward_func

    steps = -(-(stop - start) // frozen.micro_batch)
    # All micro batches have one shape, so the last is filled up with a pair that is not kept.
    at = np.minimum(start + np.arange(steps * frozen.micro_batch), stop - 1)
    for chunk in frozen.chunks:
        chunk.eval()
    with torch.no_grad():
        found: list[Metrics] = get_forward_backward_func()(
            forward_step_func=partial(_forward_step, frozen, pairs),
            data_iterator=iter(at.reshape(steps, -1)),
            model=list(frozen.chunks),
            num_microbatches=steps,
            seq_length=pairs.phase.sequence_length,
            micro_batch_size=frozen.micro_batch,
            forward_only=True,
        )
    if not found:
        return None
    values = torch.cat([metrics["log_probabilities"][0] for metrics in found])
    result: Values = values[: stop - start].float().cpu().numpy()
    return result


def _forward_step(
    frozen: Frozen, pairs: PhasePairs, numbers: Iterator[Ints], model: Any
) -> tuple["Tensor", "partial[tuple[Tensor, Tensor, Metrics]]"]:
    here = next(numbers)
    limits = np.where(pairs.limited[here], pairs.first_tokens, ALL)
    tensors = pair_tensors(frozen.batch_of(pairs.first[here]), limits, frozen.device)
    return call(model, tensors), partial(_told, tensors)


def _told(tensors: Tensors, logits: "Tensor") -> tuple["Tensor", "Tensor", Metrics]:
    """No loss: Megatron hands on the third of what a loss function gives."""
    import torch

    found = log_probabilities(tensors, logits)
    count = torch.tensor(len(found), dtype=torch.int, device=found.device)
    return found.sum(), count, {"log_probabilities": (found, count)}
