"""`config.json` and `generation_config.json`: a model as `transformers` knows it, and back.

The rotary base stands at the top level, as in phi-4's own file [HF]: old and new releases of
`transformers`, and vLLM, all read it there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import ConfigError
from trainer.convert.parts import Names
from trainer.model.config import ModelConfig

CONFIG = "config.json"
GENERATION = "generation_config.json"
_CLASSES = {Names.PHI3: "Phi3ForCausalLM", Names.LLAMA: "LlamaForCausalLM"}
_PLAIN: dict[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "sliding_window": (None,),
    "partial_rotary_factor": (1, None),
}
"""What may be there only so, since the trainer builds no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a phase adds to the shape of a model."""

    sequence_length: int
    rope_base: float
    begin: int
    """Id that text begins with, where a program wants one."""
    ends: tuple[int, ...]
    """Ids that generation stops at, the first of them before all."""
    pad: int


def write_description(
    folder: Path, config: ModelConfig, names: Names, dtype: str, found: Described
) -> None:
    """Write both files; `dtype` is the name of the weights' number format."""
    _write(folder / CONFIG, model_config(config, names, dtype, found))
    ends = list(found.ends) if len(found.ends) > 1 else found.ends[0]
    ids = {"bos_token_id": found.begin, "eos_token_id": ends, "pad_token_id": found.pad}
    _write(folder / GENERATION, {"_from_model_config": True, **ids})


def model_config(
    config: ModelConfig, names: Names, dtype: str, found: Described
) -> dict[str, object]:
    """What `config.json` says."""
    shared = {
        "architectures": [_CLASSES[names]],
        "model_type": names.value,
        "torch_dtype": dtype,
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": found.sequence_length,
        "rope_theta": found.rope_base,
        "rope_scaling": None,
        "rms_norm_eps": config.norm_epsilon,
        "initializer_range": config.init_std,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied,
        "use_cache": True,
        "bos_token_id": found.begin,
        "eos_token_id": found.ends[0],
        "pad_token_id": found.pad,
    }
    if names is Names.LLAMA:
        return {**shared, "mlp_bias": False}
    return {
        **shared,
        "original_max_position_embeddings": found.sequence_length,
        "partial_rotary_factor": 1.0,
        "sliding_window": None,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def read_description(folder: Path) -> dict[str, Any]:
    """What a directory's `config.json` says.

    Raises:
        ConfigError: There is none.
    """
    path = folder / CONFIG
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read it ({error.strerror}); give a directory that transformers'"
            " save_pretrained has written"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: not an object")
    return found


def names_of(description: Mapping[str, Any], where: str) -> Names:
    """Under whose names its weights are.

    Raises:
        ConfigError: Under others.
    """
    kind = description.get("model_type")
    if kind not in list(Names):
        raise ConfigError(
            f"{where}: model_type is {kind!r}; expected one of {', '.join(Names)}: other models"
            " compute something else than this trainer"
        )
    return Names(kind)


def refuse_other_model(description: Mapping[str, Any], config: ModelConfig, where: str) -> None:
    """Raise ConfigError where a model is not the configuration's; vocabularies may differ."""
    for name, allowed in _PLAIN.items():
        if (value := description.get(name)) not in (*allowed, None):
            raise ConfigError(f"{where}: {name} is {value!r}, and the trainer builds none of these")
    rope = description.get("rope_parameters") or description.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default" or rope.get("partial_rotary_factor", 1) != 1:
        raise ConfigError(
            f"{where}: rotary positions are {json.dumps(rope)}; expected plain ones, over all of a"
            " head"
        )
    heads = description.get("num_attention_heads")
    for name, key, mine in (
        ("layers", "num_hidden_layers", config.layers),
        ("hidden", "hidden_size", config.hidden),
        ("ffn", "intermediate_size", config.ffn),
        ("heads", "num_attention_heads", config.heads),
        ("kv_heads", "num_key_value_heads", config.kv_heads),
        ("norm_epsilon", "rms_norm_eps", config.norm_epsilon),
        ("tied", "tie_word_embeddings", config.tied),
    ):
        default = heads if key == "num_key_value_heads" else False
        if (value := description.get(key, default)) != mine:
            raise ConfigError(
                f"{where}: {key} is {value!r} and {name} of the configuration {mine!r}; give the"
                " --config of this model"
            )


def rope_base_of(description: Mapping[str, Any]) -> float:
    """The base of the rotary positions; 10,000 where none is told, as `transformers` has it."""
    inner = description.get("rope_parameters") or {}
    return float(description.get("rope_theta") or inner.get("rope_theta") or 10_000)


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
