"""From a batch to what the model is called with."""

from typing import TYPE_CHECKING, Any

from trainer.losses.batch import Batch
from trainer.losses.objective import Tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def model_inputs(batch: Batch, device: "torch.device") -> dict[str, "Tensor"]:
    """Tokens, positions and who attends to whom (dense, True where it is forbidden)."""
    import torch

    tokens = torch.from_numpy(batch.tokens).to(device)
    place = torch.arange(tokens.shape[1], device=device)
    starts = torch.from_numpy(batch.cu_seqlens).to(device, torch.int64)
    segment = torch.searchsorted(starts, place.expand(len(tokens), -1).contiguous(), right=True)
    apart = segment[:, :, None] != segment[:, None, :]
    later = place[None, :] > place[:, None]
    return {
        "tokens": tokens,
        "position_ids": torch.from_numpy(batch.position_ids).to(device),
        "attention_mask": (apart | later)[:, None],
    }


def call(model: Any, tensors: Tensors, labels: "Tensor | None" = None) -> "Tensor":
    """The model's output: losses [B, L] with labels, logits [B, L, vocabulary / ranks] without."""
    output: Tensor = model(
        input_ids=tensors["tokens"],
        position_ids=tensors["position_ids"],
        attention_mask=tensors["attention_mask"],
        labels=labels,
    )
    return output
