"""A configuration as Megatron's GPTModel, the part of this rank."""

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from manifests.errors import ConfigError
from trainer.model.config import ModelConfig, Recompute
from trainer.model.initial import initialise
from trainer.model.parallel import Parallel, device

if TYPE_CHECKING:
    import torch


def build_model(
    config: ModelConfig,
    *,
    sequence_length: int,
    rope_base: float | None = None,
    parallel: Parallel,
    seed: int = 0,
    recompute: Recompute = Recompute.NONE,
) -> list[Any]:
    """The chunks of this rank, with new weights that are the same under any layout.

    bf16 chunks are in Megatron's Float16Module; none is in its data-parallel wrapper yet.

    Args:
        config: With a vocabulary.
        sequence_length: Of the phase.
        rope_base: Of the phase; the configuration's without one.
        parallel: Of the ranks, which have started.
        seed: Of the weights.
        recompute: What the backward pass computes again.
    """
    from megatron.core import parallel_state
    from megatron.core.models.gpt.gpt_model import GPTModel
    from megatron.core.transformer.module import Float16Module

    settings = transformer_config(config, parallel, recompute)
    model = GPTModel(
        config=settings,
        transformer_layer_spec=_layers(),
        vocab_size=config.rows,
        max_sequence_length=sequence_length,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        position_embedding_type="rope",
        rotary_base=config.rope_base if rope_base is None else rope_base,
        share_embeddings_and_output_weights=config.tied,
    ).to(device())
    initialise([model], config, seed)
    return [Float16Module(settings, model) if config.precision == "bf16" else model]


def dtype(config: ModelConfig) -> "torch.dtype":
    """Of weights and computation."""
    import torch

    return torch.bfloat16 if config.precision == "bf16" else torch.float32


def transformer_config(config: ModelConfig, parallel: Parallel, recompute: Recompute) -> Any:
    """Megatron's TransformerConfig.

    Raises:
        ConfigError: There are no layers of that precision here.
    """
    import torch
    from megatron.core.distributed.finalize_model_grads import finalize_model_grads
    from megatron.core.transformer.transformer_config import TransformerConfig

    packed = has_transformer_engine()
    if packed and config.precision == "fp32":
        raise ConfigError(
            "precision fp32: the attention of Transformer Engine takes packed windows in bf16 only;"
            ' write precision = "bf16" in the configuration or in the phase\'s facts'
        )
    return TransformerConfig(
        num_layers=config.layers,
        hidden_size=config.hidden,
        ffn_hidden_size=config.ffn,
        num_attention_heads=config.heads,
        num_query_groups=config.kv_heads,
        kv_channels=config.head_dim,
        layernorm_epsilon=config.norm_epsilon,
        normalization="RMSNorm",
        gated_linear_unit=True,
        bias_activation_fusion=True,  # keeps the input of SwiGLU only
        apply_rope_fusion=packed,  # without, a packed row is turned segment by segment
        activation_func=torch.nn.functional.silu,
        add_bias_linear=False,
        attention_dropout=config.dropout,
        hidden_dropout=config.dropout,
        bf16=config.precision == "bf16",
        params_dtype=dtype(config),
        pipeline_dtype=dtype(config),
        attention_softmax_in_fp32=True,
        # Megatron's own kernel for causal attention takes no notice of a mask that it is given.
        masked_softmax_fusion=False,
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        # Norms of plain PyTorch, which the local layers have, cannot work on parts of a sequence.
        sequence_parallel=packed and parallel.tensor > 1,
        # A packed micro batch goes from stage to stage as one long sequence.
        variable_seq_lengths=packed and parallel.pipeline > 1,
        transformer_impl="transformer_engine" if packed else "local",
        use_cpu_initialization=device().type == "cpu",
        # Weights are filled afterwards. Not `perform_initialization=False`: in the same place
        # Megatron marks which parameters are split, and the norm of the gradient needs that.
        init_method=_leave,
        output_layer_init_method=_leave,
        embedding_init_method=_leave,
        gradient_accumulation_fusion=False,
        calculate_per_token_loss=True,
        finalize_model_grads_func=finalize_model_grads,
        **_recomputed(recompute),
    )


def _leave(weight: Any) -> Any:
    return weight


@cache
def has_transformer_engine() -> bool:
    """Whether layers are those of Transformer Engine, which need CUDA and take packed sequences."""
    return device().type == "cuda" and find_spec("transformer_engine") is not None


def _recomputed(recompute: Recompute) -> dict[str, Any]:
    match recompute:
        case Recompute.NONE:
            return {}
        case Recompute.SELECTIVE:
            return {"recompute_granularity": "selective"}
        case Recompute.FULL:
            return {
                "recompute_granularity": "full",
                "recompute_method": "uniform",
                "recompute_num_layers": 1,
            }


def _layers() -> Any:
    from megatron.core.models.gpt import gpt_layer_specs

    if has_transformer_engine():
        return gpt_layer_specs.get_gpt_layer_with_transformer_engine_spec()
    return gpt_layer_specs.get_gpt_layer_local_spec(normalization="RMSNorm")
