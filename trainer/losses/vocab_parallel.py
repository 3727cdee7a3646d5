"""Log probabilities from logits whose vocabulary lies over the tensor-parallel ranks.

No rank ever sees all logits of a row: what is exchanged are a maximum, a sum and the logit of the
label, one number a row each. Megatron's own cross entropy computes in place and so destroys
float32 logits, and does not tell the log-sum-exp that the z-loss is about; hence these.
"""

from typing import TYPE_CHECKING, Any

import torch
from megatron.core import parallel_state
from megatron.core.tensor_parallel import reduce_from_tensor_model_parallel_region
from torch.distributed import ReduceOp

if TYPE_CHECKING:
    from torch import Tensor


class _LogSumExp(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    @staticmethod
    def forward(ctx: Any, logits: "Tensor") -> "Tensor":
        group = parallel_state.get_tensor_model_parallel_group()
        values = logits.float()
        top = values.amax(dim=-1)
        torch.distributed.all_reduce(top, op=ReduceOp.MAX, group=group)
        exponentials = torch.exp(values - top[..., None])
        total = exponentials.sum(dim=-1)
        torch.distributed.all_reduce(total, group=group)
        ctx.save_for_backward(exponentials.div_(total[..., None]))
        ctx.kind = logits.dtype
        return top.add_(torch.log(total))

    @staticmethod
    def backward(ctx: Any, gradient: "Tensor") -> "Tensor":
        (softmax,) = ctx.saved_tensors
        result: Tensor = (softmax * gradient[..., None]).to(ctx.kind)
        return result


def log_sum_exp(logits: "Tensor") -> "Tensor":
    """Over the whole vocabulary: [..., vocabulary / ranks] to float32 [...]."""
    result: Tensor = _LogSumExp.apply(logits)
    return result


def label_logits(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """The logit of each row's label: [..., vocabulary / ranks] and [...] to float32 [...]."""
    width = logits.shape[-1]
    local = labels - parallel_state.get_tensor_model_parallel_rank() * width
    here = (local >= 0) & (local < width)
    picked = logits.gather(-1, local.clamp(0, width - 1)[..., None])[..., 0].float()
    # A copy: what comes in is reduced in place, which autograd must not see twice.
    result: Tensor = reduce_from_tensor_model_parallel_region(torch.where(here, picked, 0.0))
    return result
