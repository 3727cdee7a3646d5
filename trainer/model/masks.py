"""Who attends to whom: from a batch's `cu_seqlens` to what the model's attention takes.

Megatron's own layers take a dense mask, L x L a sample. Those of Transformer Engine drop such a
mask without a word (NVIDIA/Megatron-LM#2357), and take all windows of the micro batch as one packed
row (THD), whose segments never see each other.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainer.model.build import has_transformer_engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor


def attention(
    cu_seqlens: npt.NDArray[np.int32], length: int, device: "torch.device"
) -> dict[str, "Tensor"]:
    """What `call` needs to keep segments apart, by the kind of layers that are built here.

    Args:
        cu_seqlens: [B, K + 1]: where segments begin, filled up with L.
        length: L.
        device: Where the mask is made.
    """
    import torch

    if not has_transformer_engine():
        starts = torch.from_numpy(cu_seqlens).to(device)
        return {"attention_mask": dense_mask(starts, length)}
    starts, longest = packed_starts(cu_seqlens, length)
    return {
        "cu_seqlens": torch.from_numpy(starts).to(device, non_blocking=True),
        # Stays on the CPU: it is read as a number at every step.
        "max_seqlen": torch.tensor(longest),
    }


def dense_mask(cu_seqlens: "Tensor", length: int) -> "Tensor":
    """Bool [B, 1, L, L], True where it is forbidden: later places, and other segments.

    Args:
        cu_seqlens: Whole numbers [B, K + 1].
        length: L.
    """
    import torch

    place = torch.arange(length, device=cu_seqlens.device, dtype=cu_seqlens.dtype)
    rows = place.expand(len(cu_seqlens), length).contiguous()
    segment = torch.searchsorted(cu_seqlens.contiguous(), rows, right=True)
    apart = segment[:, :, None] != segment[:, None, :]
    return (apart | (place[None, :] > place[:, None]))[:, None]


def packed_starts(
    cu_seqlens: npt.NDArray[np.int32], length: int
) -> tuple[npt.NDArray[np.int32], int]:
    """Where the segments of all windows, one behind the other, begin; and the longest segment."""
    rows = cu_seqlens.astype(np.int32) + np.arange(len(cu_seqlens), dtype=np.int32)[:, None] * (
        np.int32(length)
    )
    starts = np.unique(rows)
    return starts, int(np.diff(starts).max())


def call(model: Any, tensors: "Mapping[str, Tensor]", labels: "Tensor | None" = None) -> "Tensor":
    """The output of a chunk: on the last stage losses [B, L] with labels, without them logits
    [B, L, vocabulary / tensor ranks]; on others activations for the next.

    Args:
        model: A chunk, wrapped or not.
        tensors: `tokens` and `position_ids` [B, L], and what `attention` gave.
        labels: [B, L].
    """
    from megatron.core import parallel_state

    tokens = tensors["tokens"]
    if "attention_mask" in tensors:
        output: Tensor = model(
            input_ids=tokens,
            position_ids=tensors["position_ids"],
            attention_mask=tensors["attention_mask"],
            labels=labels,
        )
        return output
    output = model(
        input_ids=tokens.reshape(1, -1),
        position_ids=tensors["position_ids"].reshape(1, -1),
        attention_mask=None,
        packed_seq_params=_packed(tensors),
        labels=None if labels is None else labels.reshape(1, -1),
    )
    if not parallel_state.is_pipeline_last_stage():
        return output
    return output.reshape(*tokens.shape, *output.shape[2:])


def _packed(tensors: "Mapping[str, Tensor]") -> Any:
    from megatron.core.packed_seq_params import PackedSeqParams

    starts, longest = tensors["cu_seqlens"], int(tensors["max_seqlen"])
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=starts,
        cu_seqlens_kv=starts,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
    )
