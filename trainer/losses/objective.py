"""What an objective is to the training loop: the two halves of Megatron's forward step.

Sums and counts, never means: Megatron divides the gradients by the count of the *global* batch
(`calculate_per_token_loss`), so a rank whose samples have few learned tokens weighs no more per
token than any other.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.losses.batch import Batch

Tensors = Mapping[str, "Tensor"]
"""By name; what stands in it is between `tensors`, `forward` and `loss` of one objective."""
Metrics = dict[str, tuple["Tensor", "Tensor"]]
"""By name a sum and a count, to be added over micro batches and ranks and then divided."""


class Objective(Protocol):
    """One way to learn from a batch."""

    @property
    def name(self) -> str:
        """As the fact `loss` of a phase says it."""

    def tensors(self, batch: "Batch", device: "torch.device") -> dict[str, "Tensor"]:
        """What `forward` and `loss` need, on the device."""

    def forward(self, model: Any, tensors: Tensors) -> "Tensor":
        """The output of one model chunk; on all pipeline stages but the last these are activations
        that Megatron passes on.
        """

    def loss(self, tensors: Tensors, output: "Tensor") -> tuple["Tensor", "Tensor", Metrics]:
        """Of a micro batch, on the last stage: sum of losses, what it is a sum of, metrics.

        The sum carries the gradient; the count is a whole number (tokens, or pairs); metrics are
        detached.
        """
