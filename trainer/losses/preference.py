"""Direct preference optimisation, on responses (`dpo`) or on single tokens (`pivotal`).

-log sigmoid(beta * ((c - c_ref) - (r - r_ref))) a pair, where c and r are the sums of the log
probabilities of the chosen and the rejected ids, and c_ref, r_ref those of the frozen model that
the phase begins with, computed beforehand. Nothing is divided by lengths. The closing id of a turn
is part of a response and counts; the end of the document is not and never does.
Source: Rafailov et al. 2023 (arXiv 2305.18290), equation 7; phi-4 report, 4.2 and 4.3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError
from trainer.losses.batch import Batch
from trainer.losses.inputs import model_inputs
from trainer.losses.objective import Metrics, Tensors
from trainer.losses.pair_rows import Ints, pair_rows
from trainer.model.masks import call

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Pairs(Protocol):
    """What is known of the pairs of a phase beside their ids."""

    def limits(self, positions: Ints) -> Ints:
        """How many first ids of each response count, at these positions."""

    def reference(self, positions: Ints) -> npt.NDArray[np.float32]:
        """[B, 2]: log probabilities of chosen and rejected under the reference model."""


def pair_tensors(batch: Batch, limits: Ints, device: "torch.device") -> dict[str, "Tensor"]:
    """What the log probabilities of the pairs of a batch need."""
    import torch

    rows = pair_rows(batch, limits)
    return {
        **model_inputs(batch, device),
        "place": torch.from_numpy(rows.place).to(device),
        "label": torch.from_numpy(rows.label).to(device),
        "owner": torch.from_numpy(rows.owner).to(device),
        "token_pair": torch.from_numpy(rows.token_pair).to(device),
    }


def log_probabilities(tensors: Tensors, logits: "Tensor") -> "Tensor":
    """[B, 2] of chosen and rejected, from logits [B, L, vocabulary / ranks].

    Only the rows that are asked for are touched: gradients of all others are zero.
    """
    from trainer.losses.vocab_parallel import label_logits, log_sum_exp

    rows = logits.reshape(-1, logits.shape[-1])[tensors["place"]]
    found = label_logits(rows, tensors["label"]) - log_sum_exp(rows)
    sums = found.new_zeros(2 * len(tensors["token_pair"]))
    return sums.index_add(0, tensors["owner"], found).view(-1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Mean over the pairs of the global batch."""

    name: str
    """`pivotal` takes token pairs, and response pairs among them; `dpo` only response pairs."""
    beta: float
    label_smoothing: float = 0.0
    """Part of the pairs that are taken to be the wrong way round.

    Source: Mitchell 2023, A note on DPO with noisy preferences.
    """
    pairs: Pairs

    def tensors(self, batch: Batch, device: "torch.device") -> dict[str, "Tensor"]:
        """Inputs, the rows that count, the reference's log probabilities.

        Raises:
            ConfigError: A token pair, where the loss is `dpo`.
            DataError: As `pair_rows`.
        """
        import torch

        tensors = pair_tensors(batch, self.pairs.limits(batch.positions), device)
        if self.name == "dpo" and bool(tensors["token_pair"].any()):
            raise ConfigError(
                "train.loss = 'dpo' with a pair of single tokens in the mix: say loss = 'pivotal',"
                " which takes both kinds, or leave that source out"
            )
        reference = torch.from_numpy(self.pairs.reference(batch.positions))
        return {**tensors, "reference": reference.to(device)}

    def forward(self, model: Any, tensors: Tensors) -> "Tensor":
        """Logits [B, L, vocabulary / ranks]."""
        return call(model, tensors)

    def loss(self, tensors: Tensors, output: "Tensor") -> tuple["Tensor", "Tensor", Metrics]:
        """Sum over pairs, how many they are, and how far the chosen ones are ahead."""
        import torch
        from torch.nn.functional import logsigmoid

        found = log_probabilities(tensors, output)
        rewards = self.beta * (found - tensors["reference"])
        margin = rewards[:, 0] - rewards[:, 1]
        smoothing = self.label_smoothing
        losses = -(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)
        count = torch.tensor(len(losses), dtype=torch.int, device=losses.device)
        sums = {
            "loss": losses,
            "accuracy": (margin > 0).float(),
            "margin": margin,
            "reward_chosen": rewards[:, 0],
            "reward_rejected": rewards[:, 1],
            "log_probability_chosen": found[:, 0],
            "log_probability_rejected": found[:, 1],
        }
        metrics = {name: (values.detach().sum(), count) for name, values in sums.items()}
        return losses.sum(), count, metrics
