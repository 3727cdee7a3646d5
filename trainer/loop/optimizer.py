"""Megatron's optimizer over the model's chunks, at the rates of a step."""

from collections.abc import Sequence
from typing import Any

from trainer.loop.settings import Settings


def build_optimizer(
    chunks: Sequence[Any], settings: Settings, *, bf16: bool, distributed: bool
) -> Any:
    """Adam, AdamW or SGD; `distributed` spreads its state over the data-parallel ranks.

    Biases and norms are not decayed, as Megatron has it.
    """
    import torch
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer

    config = OptimizerConfig(
        optimizer="sgd" if settings.optimizer == "sgd" else "adam",
        decoupled_weight_decay=settings.optimizer != "adam",
        lr=settings.learning_rate,
        min_lr=settings.min_learning_rate,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        adam_eps=settings.epsilon,
        clip_grad=settings.clip_grad,
        bf16=bf16,
        params_dtype=torch.bfloat16 if bf16 else torch.float32,
        use_distributed_optimizer=distributed,
    )
    return get_megatron_optimizer(config, list(chunks))


def set_rates(optimizer: Any, learning_rate: float, weight_decay: float) -> None:
    """Let the next step use these; what a group says of itself is a factor on them."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_mult"]
        group["weight_decay"] = weight_decay * group["wd_mult"]
