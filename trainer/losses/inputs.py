"""From a batch to what the model is called with."""

from typing import TYPE_CHECKING

from trainer.losses.batch import Batch
from trainer.model.masks import attention, call

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["call", "model_inputs"]


def model_inputs(batch: Batch, device: "torch.device") -> dict[str, "Tensor"]:
    """Tokens, positions and who attends to whom."""
    import torch

    return {
        "tokens": torch.from_numpy(batch.tokens).to(device),
        "position_ids": torch.from_numpy(batch.position_ids).to(device),
        **attention(batch.cu_seqlens, batch.tokens.shape[1], device),
    }
