"""Cross entropy a token. What is learned of a window is in its mask: all of a text, or only what
the assistant says (`assistant`), so both objectives are this one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.losses.batch import Batch
from trainer.losses.inputs import model_inputs
from trainer.losses.objective import Metrics, Tensors
from trainer.model.masks import call

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModel:
    """Mean of -log p(label) over the learned tokens of the global batch."""

    name: str
    z_loss: float = 0.0
    """Weight of log(sum(exp(logits)))**2, which keeps logits from drifting.

    Source: PaLM (arXiv 2204.02311), section 5, which uses 1e-4.
    """

    def tensors(self, batch: Batch, device: "torch.device") -> dict[str, "Tensor"]:
        """Inputs, labels and the mask."""
        import torch

        return {
            **model_inputs(batch, device),
            "labels": torch.from_numpy(batch.labels).to(device),
            "loss_mask": torch.from_numpy(batch.loss_mask).to(device),
        }

    def forward(self, model: Any, tensors: Tensors) -> "Tensor":
        """Losses a token [B, L] by Megatron's cross entropy; logits where the z-loss needs them."""
        return call(model, tensors, None if self.z_loss else tensors["labels"])

    def loss(self, tensors: Tensors, output: "Tensor") -> tuple["Tensor", "Tensor", Metrics]:
        """Sum over learned tokens, their number, and the metrics `loss` and `z_loss`."""
        import torch

        mask = tensors["loss_mask"].reshape(-1)
        count = mask.sum().to(torch.int)
        if not self.z_loss:
            total = (output.reshape(-1).float() * mask).sum()
            # A copy: Megatron scales the loss that it is given in place.
            return total, count, {"loss": (total.detach().clone(), count)}
        from trainer.losses.vocab_parallel import label_logits, log_sum_exp

        logits = output.reshape(len(mask), -1)
        normaliser = log_sum_exp(logits)
        entropy = ((normaliser - label_logits(logits, tensors["labels"].reshape(-1))) * mask).sum()
        z_loss = self.z_loss * (normaliser.square() * mask).sum()
        metrics = {"loss": (entropy.detach(), count), "z_loss": (z_loss.detach(), count)}
        return entropy + z_loss, count, metrics
