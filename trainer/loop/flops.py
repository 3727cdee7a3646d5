"""Floating-point operations of a model, and what part of a GPU's peak they are (MFU)."""

from trainer.model.config import ModelConfig
from trainer.model.parameters import embeddings, parameters

# Dense bf16 peaks in FLOP/s by the start of the device's name, as its maker's data sheet has them.
PEAKS = {
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA GH200": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
}


def flops_per_token(config: ModelConfig, sequence_length: int) -> float:
    """Of forward and backward: 6 a parameter that multiplies, and attention in full, not halved for
    being causal; nothing for what is recomputed.

    Source: PaLM (arXiv 2204.02311), appendix B.
    """
    multiplying = parameters(config) - embeddings(config) + config.rows * config.hidden
    attention = 12 * config.layers * config.heads * config.head_dim * sequence_length
    return float(6 * multiplying + attention)


def peak_of(device: str) -> float | None:
    """The peak of a device by its name; None when it is not known."""
    return next((peak for name, peak in PEAKS.items() if device.startswith(name)), None)
