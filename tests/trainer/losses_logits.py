"""Objectives on random logits, on one rank of several, against plain PyTorch on whole logits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state

from trainer.losses.choose import objective
from trainer.losses.pair_rows import ALL
from trainer.model.parallel import Parallel, arrange

VOCABULARY = 48
SAMPLES, LENGTH = 3, 16
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    tokens: Any
    labels: Any
    loss_mask: Any
    position_ids: Any
    cu_seqlens: Any
    positions: Any
    chosen: Any = None
    rejected: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Of pairs, made up: the reference's log probabilities."""

    values: Any
    limit: int = ALL

    def limits(self, positions: Any) -> Any:
        return np.full(len(positions), self.limit)

    def reference(self, positions: Any) -> Any:
        return self.values[positions]


def windows(seed: int) -> Window:
    random = np.random.default_rng(seed)
    ids = random.integers(0, VOCABULARY, (SAMPLES, LENGTH + 1))
    return Window(
        tokens=ids[:, :-1],
        labels=ids[:, 1:],
        loss_mask=(random.random((SAMPLES, LENGTH)) < 0.6).astype(np.float32),
        position_ids=np.tile(np.arange(LENGTH), (SAMPLES, 1)),
        cu_seqlens=np.tile(np.array([0, 7, LENGTH], dtype=np.int32), (SAMPLES, 1)),
        positions=np.arange(SAMPLES),
    )


def split_logits(seed: int) -> tuple[torch.Tensor, torch.Tensor, slice]:
    """Logits whole and this rank's part of them, both leaves."""
    generator = torch.Generator().manual_seed(seed)
    whole = 3 * torch.randn(SAMPLES, LENGTH, VOCABULARY, generator=generator)
    ranks = parallel_state.get_tensor_model_parallel_world_size()
    width = VOCABULARY // ranks
    start = parallel_state.get_tensor_model_parallel_rank() * width
    part = slice(start, start + width)
    return whole.requires_grad_(), whole[..., part].detach().clone().requires_grad_(), part


def gap(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).detach().abs().max())


def z_loss() -> dict[str, float]:
    chosen = objective({"loss": "language_model", "z_loss": 0.01})
    tensors = chosen.tensors(windows(1), CPU)
    whole, local, part = split_logits(2)
    total, count, metrics = chosen.loss(tensors, local * 1.0)
    total.backward()
    normaliser = torch.logsumexp(whole, -1)
    labels = tensors["labels"][..., None]
    entropy = normaliser - whole.gather(-1, labels)[..., 0]
    plain = ((entropy + 0.01 * normaliser**2) * tensors["loss_mask"]).sum()
    plain.backward()
    return {
        "loss": gap(total, plain) / plain.item(),
        "gradient": gap(local.grad, whole.grad[..., part]),
        "count": abs(int(count) - int(tensors["loss_mask"].sum())),
        "sum": gap(metrics["loss"][0] + metrics["z_loss"][0], total.detach()),
    }


def pairs(chosen: list[list[int]], rejected: list[list[int]]) -> Window:
    return replace(windows(3), chosen=np.array(chosen), rejected=np.array(rejected))


def plain_log_probability(whole: torch.Tensor, ids: Any, places: range, shift: int) -> torch.Tensor:
    """Sum over the ids at these places, of logits `shift` before them; plain PyTorch."""
    logs = torch.log_softmax(whole, -1)
    return torch.stack([logs[at - shift, int(ids[at])] for at in places]).sum()


def preference(window: Window, train: dict[str, Any], limit: int = ALL) -> dict[str, Any]:
    """Loss and gradients of an objective against the formula, written out pair by pair."""
    known = Known(
        values=np.array([[-9.5, -4.0], [-3.0, -8.0], [-6.0, -6.5]], np.float32), limit=limit
    )
    chosen = objective(train, known)
    tensors = chosen.tensors(window, CPU)
    whole, local, part = split_logits(4)
    total, count, metrics = chosen.loss(tensors, local * 1.0)
    (total / count).backward()
    margins, touched = [], set()
    beta = train["dpo_beta"]
    spans = zip(window.chosen.tolist(), window.rejected.tolist(), strict=True)
    for sample, ((a, b), (c, d)) in enumerate(spans):
        one, ids = whole[sample], window.tokens[sample]
        shift = 2 if c == b else 1
        better = plain_log_probability(one, ids, range(a, min(b, a + limit)), 1)
        worse = plain_log_probability(one, ids, range(c, min(d, c + limit)), shift)
        reference = known.values[sample]
        margins.append(beta * ((better - reference[0]) - (worse - reference[1])))
        touched |= {(sample, at - 1) for at in range(a, min(b, a + limit))}
        touched |= {(sample, at - shift) for at in range(c, min(d, c + limit))}
    margin = torch.stack(margins)
    smoothing = train.get("label_smoothing", 0.0)
    plain = -(1 - smoothing) * torch.log(torch.sigmoid(margin))
    plain = (plain - smoothing * torch.log(1 - torch.sigmoid(margin))).mean()
    plain.backward()
    moved = {tuple(at) for at in local.grad.abs().sum(-1).nonzero().tolist()}
    return {
        "loss": gap(total / count, plain),
        "gradient": gap(local.grad, whole.grad[..., part]),
        "largest_gradient": float(whole.grad.abs().max()),
        "count": int(count),
        "moved": sorted(map(list, moved)),
        "touched": sorted(map(list, touched)),
        "accuracy": float(metrics["accuracy"][0]),
        "expected_accuracy": float((margin > 0).sum()),
        "margin": gap(metrics["margin"][0], margin.detach().sum()),
    }


RESPONSES = pairs([[3, 7], [2, 4], [5, 9]], [[9, 12], [6, 16], [12, 13]])
TOKENS = pairs([[3, 4], [8, 9], [14, 15]], [[4, 5], [9, 10], [15, 16]])
BOTH = pairs([[3, 4], [2, 9], [14, 15]], [[4, 5], [10, 16], [15, 16]])

CHECKS: dict[str, Callable[[], dict[str, Any]]] = {
    "z_loss": z_loss,
    "dpo": lambda: preference(RESPONSES, {"loss": "dpo", "dpo_beta": 0.05}),
    "smoothed": lambda: preference(
        RESPONSES, {"loss": "dpo", "dpo_beta": 0.05, "label_smoothing": 0.2}
    ),
    "pivotal": lambda: preference(TOKENS, {"loss": "pivotal", "dpo_beta": 0.3}),
    "both": lambda: preference(BOTH, {"loss": "pivotal", "dpo_beta": 0.3}),
    "first_tokens": lambda: preference(BOTH, {"loss": "pivotal", "dpo_beta": 0.3}, limit=5),
}


def results() -> dict[str, dict[str, Any]]:
    """Every check, without tensor parallelism and over all ranks."""
    found = {}
    ranks = torch.distributed.get_world_size()
    for tensor in (1, ranks):
        arrange(Parallel(tensor=tensor, data=ranks // tensor))
        for name, check in CHECKS.items():
            found[f"{name}_tp{tensor}"] = check()
    return found
