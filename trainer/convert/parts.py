"""Which rows of which of Megatron's tensors a tensor of the Hugging Face model is.

Every difference between the two layouts is one of order or of selection of rows, so the mapping is
exact both ways. Megatron's `linear_qkv` has for each group its queries, its key and its value one
behind the other; phi3 has all queries, all keys, all values. `linear_fc1` is gate, then up, as
phi3's `gate_up_proj`. Both rotate halves of a head (`rotary_interleaved` is off), so no channel
moves.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError
from trainer.model.config import ModelConfig

Rows = npt.NDArray[np.int64]


class Names(StrEnum):
    """Under whose names `transformers` finds the weights."""

    PHI3 = "phi3"
    """Fused projections, as phi-4 was published [HF]."""
    LLAMA = "llama"
    """A tensor a projection, which the most programs read."""


EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"
FINAL_NORM = "decoder.final_layernorm.weight"
ATTENTION_NORM = "self_attention.linear_qkv.layer_norm_weight"
FEED_FORWARD_NORM = "mlp.linear_fc1.layer_norm_weight"
QKV = "self_attention.linear_qkv.weight"
PROJECTION = "self_attention.linear_proj.weight"
GATE_UP = "mlp.linear_fc1.weight"
DOWN = "mlp.linear_fc2.weight"
STACKED = "decoder.layers."
"""Before the names of a layer's tensors: a checkpoint has those of all layers as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A tensor of the Hugging Face model."""

    name: str
    source: str
    """Megatron's tensor; of a layer, without `STACKED`."""
    layer: int | None
    rows: Rows | None
    """Of the source, in the order of the part; None for all as they are."""
    shape: tuple[int, ...]
    """Of the part."""


def parts(config: ModelConfig, names: Names) -> Iterator[Part]:
    """All tensors of the Hugging Face model, about in the order of a forward pass."""
    yield _part(config, "model.embed_tokens.weight", EMBEDDING)
    inside = _PHI3 if names is Names.PHI3 else _LLAMA
    for layer in range(config.layers):
        for name, source, which in (*_BOTH, *inside):
            yield _part(config, f"model.layers.{layer}.{name}", source, layer, which)
    yield _part(config, "model.norm.weight", FINAL_NORM)
    if not config.tied:
        yield _part(config, "lm_head.weight", OUTPUT)


def count(config: ModelConfig) -> int:
    """Parameters, without padding of the vocabulary."""
    return sum(math.prod(part.shape) for part in parts(config, Names.PHI3))


def source_shape(config: ModelConfig, source: str) -> tuple[int, ...]:
    """Of a tensor of Megatron's, of one layer of it where it is of layers; padding is not counted.

    Raises:
        ConfigError: The model has no vocabulary.
    """
    if source in (EMBEDDING, OUTPUT):
        if config.vocabulary is None:
            raise ConfigError("the model has no vocabulary yet; it comes from the tokenizer")
        return (config.vocabulary, config.hidden)
    shapes = {
        QKV: (_projected(config), config.hidden),
        PROJECTION: (config.hidden, config.heads * config.head_dim),
        GATE_UP: (2 * config.ffn, config.hidden),
        DOWN: (config.hidden, config.ffn),
    }
    return shapes.get(source, (config.hidden,))


_BOTH = (
    ("input_layernorm.weight", ATTENTION_NORM, ""),
    ("post_attention_layernorm.weight", FEED_FORWARD_NORM, ""),
    ("self_attn.o_proj.weight", PROJECTION, ""),
    ("mlp.down_proj.weight", DOWN, ""),
)
_PHI3 = (
    ("self_attn.qkv_proj.weight", QKV, "qkv"),
    ("mlp.gate_up_proj.weight", GATE_UP, ""),
)
_LLAMA = (
    ("self_attn.q_proj.weight", QKV, "q"),
    ("self_attn.k_proj.weight", QKV, "k"),
    ("self_attn.v_proj.weight", QKV, "v"),
    ("mlp.gate_proj.weight", GATE_UP, "gate"),
    ("mlp.up_proj.weight", GATE_UP, "up"),
)


def _part(
    config: ModelConfig, name: str, source: str, layer: int | None = None, which: str = ""
) -> Part:
    rows = _rows(config, which) if which else None
    whole = source_shape(config, source)
    shape = whole if rows is None else (len(rows), *whole[1:])
    return Part(name=name, source=source, layer=layer, rows=rows, shape=shape)


def _projected(config: ModelConfig) -> int:
    """Rows of queries, keys and values together."""
    return (config.heads + 2 * config.kv_heads) * config.head_dim


@lru_cache
def _rows(config: ModelConfig, which: str) -> Rows:
    """Rows of gate or up, or of queries, keys and values, in the Hugging Face order."""
    if which in ("gate", "up"):
        start = config.ffn if which == "up" else 0
        return np.arange(start, start + config.ffn)
    queries = config.heads // config.kv_heads
    grouped = np.arange(_projected(config)).reshape(config.kv_heads, queries + 2, config.head_dim)
    found = {
        "q": grouped[:, :queries].ravel(),
        "k": grouped[:, queries].ravel(),
        "v": grouped[:, queries + 1].ravel(),
    }
    return np.concatenate([found[letter] for letter in which])
