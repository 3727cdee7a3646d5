"""New weights as arithmetic: an element is a function of the seed, its parameter's name and its
place in the whole parameter, so a model at step 0 is the same under any layout of ranks.

Each rank computes its own elements only. Names and places are those that a checkpoint has.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from manifests.permutation import base_key
from trainer.model.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 1 << 22
"""Elements; their indices and bits take 8 bytes each while they are made."""
_INTO_RESIDUAL = ("linear_proj.weight", "linear_fc2.weight")
"""Scaled down by the square root of how many of them add up.

Source: GPT-2 (Radford et al. 2019), section 2.3; Megatron's default.
"""


def initialise(chunks: Sequence[Any], config: ModelConfig, seed: int) -> None:
    """Fill all parameters: norms with 1, others from a normal distribution.

    Args:
        chunks: GPTModels, before they are wrapped.
        config: What they were built from.
        seed: Of the whole model.
    """
    import torch

    with torch.no_grad():
        for chunk in chunks:
            filled = 0
            for part in _parts(chunk.sharded_state_dict()):
                if "norm" in part.key:
                    part.data.fill_(1)
                else:
                    _fill(part, _deviation(part.key, config), seed)
                filled += part.data.numel()
            there = sum(parameter.numel() for parameter in chunk.parameters())
            if filled != there:
                raise AssertionError(f"{there - filled} elements of new weights were not filled")


def _deviation(key: str, config: ModelConfig) -> float:
    scale = math.sqrt(2 * config.layers) if key.endswith(_INTO_RESIDUAL) else 1.0
    return config.init_std / scale


def _parts(state: dict[str, Any]) -> Iterator[Any]:
    """Megatron's ShardedTensors; one that is made of two halves gives two."""
    from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory

    for entry in state.values():
        if isinstance(entry, ShardedTensorFactory):
            yield from (part for part in entry.build() if isinstance(part, ShardedTensor))
        elif isinstance(entry, ShardedTensor) and entry.data is not None:
            yield entry


def _fill(part: Any, deviation: float, seed: int) -> None:
    import torch

    key = base_key("scriptorium.weights", str(seed), part.key)
    strides = [math.prod(part.global_shape[axis + 1 :]) for axis in range(len(part.global_shape))]
    first = sum(offset * stride for offset, stride in zip(part.global_offset, strides, strict=True))
    rows = part.data.view(len(part.data), -1)
    columns = torch.arange(rows.shape[1], device=rows.device)
    step = max(1, _AT_ONCE // rows.shape[1])
    row_stride = strides[part.prepend_axis_num]
    for low in range(0, len(rows), step):
        numbers = torch.arange(low, min(low + step, len(rows)), device=rows.device)
        places = first + numbers[:, None] * row_stride + columns
        rows[low : low + step] = normal(key, places) * deviation


def normal(key: int, places: "Tensor") -> "Tensor":
    """The standard normal numbers, float64, at these places (int64) of a key's endless row.

    Source: splitmix64 (Steele et al. 2014), then Box and Muller (1958).
    """
    import torch

    bits = _mixed(_signed(key) + places * _signed(0x9E3779B97F4A7C15))
    high = ((bits >> 32) & 0xFFFFFFFF).double()
    low = (bits & 0xFFFFFFFF).double()
    radius = torch.sqrt(-2 * torch.log((high + 0.5) / 2**32))
    return radius * torch.cos(low * (2 * math.pi / 2**32))


def _mixed(bits: "Tensor") -> "Tensor":
    """The finaliser of splitmix64 on int64, whose products wrap."""
    bits = (bits ^ ((bits >> 30) & ((1 << 34) - 1))) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ ((bits >> 27) & ((1 << 37) - 1))) * _signed(0x94D049BB133111EB)
    return bits ^ ((bits >> 31) & ((1 << 33) - 1))


def _signed(number: int) -> int:
    """The int64 of the same 64 bits."""
    return number - (1 << 64) if number >= 1 << 63 else number
