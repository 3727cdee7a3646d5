"""How many parameters a model has, and what computing with them costs, by arithmetic."""

from trainer.model.config import ModelConfig


def parameters(config: ModelConfig) -> int:
    """All of them, both embeddings counted (one when they are tied)."""
    return embeddings(config) + config.layers * in_layer(config) + config.hidden


def embeddings(config: ModelConfig) -> int:
    """Of input and output."""
    return config.rows * config.hidden * (1 if config.tied else 2)


def in_layer(config: ModelConfig) -> int:
    """Of one decoder layer: queries, keys and values, their projection, the gated layer, norms."""
    heads = config.heads + 2 * config.kv_heads
    attention = config.hidden * config.head_dim * (heads + config.heads)
    return attention + 3 * config.hidden * config.ffn + 2 * config.hidden
