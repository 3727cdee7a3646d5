"""From a batch to what a model chunk is called with (`trainer.model.masks.call`)."""

from typing import TYPE_CHECKING

from trainer.losses.batch import Batch
from trainer.model.masks import attention

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def model_inputs(batch: Batch, device: "torch.device") -> dict[str, "Tensor"]:
    """Tokens, positions, and what keeps segments apart."""
    import torch

    return {
        "tokens": torch.from_numpy(batch.tokens).to(device),
        "position_ids": torch.from_numpy(batch.position_ids).to(device),
        **attention(batch.cu_seqlens, batch.tokens.shape[1], device),
    }
