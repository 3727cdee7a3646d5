"""A Hugging Face directory as a checkpoint that `trainer run --init` begins from.

The rotary base and the window are no part of it: they are facts of the phase that trains it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from manifests.errors import ConfigError
from trainer.convert.description import names_of, read_description, refuse_other_model, rope_base_of
from trainer.convert.export import FORMATS
from trainer.convert.parts import count, parts
from trainer.convert.room import folder_with_room
from trainer.convert.source_files import SourceFiles
from trainer.convert.weights import write_weights
from trainer.loop.state import State, write_state
from trainer.model.config import ModelConfig, read_config

_PRECISIONS = {getattr(torch, dtype): precision for precision, dtype in FORMATS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was written."""

    path: str
    names: str
    dtype: str
    parameters: int
    vocabulary: int
    rope_base: float
    """That the weights were trained with; the phase that trains them on has to say it."""


def import_model(
    folder: Path,
    out: Path,
    *,
    config: str,
    dtype: str | None = None,
    vocabulary: int | None = None,
) -> Imported:
    """Write the weights of a Hugging Face directory as a new checkpoint, at step 0.

    Args:
        folder: As `transformers` writes it, with safetensors.
        out: The checkpoint's directory, which is there whole or not at all.
        config: A configuration's name or file.
        dtype: `bfloat16` or `float32`; None as the files have them.
        vocabulary: Ids of the model, where that is more than the directory has; new rows are the
            mean of the others.

    Raises:
        ConfigError: The directory is of another model than the configuration, or cannot be read.
    """
    described, where = read_description(folder), str(folder / "config.json")
    names = names_of(described, where)
    found = read_config(config)
    refuse_other_model(described, found.model, where)
    ids = described.get("vocab_size")
    if type(ids) is not int or ids < 1:
        raise ConfigError(f"{where}: vocab_size is {ids!r}; expected a whole number")
    model = _with_vocabulary(found.model, ids, vocabulary, where)
    there = replace(model, vocabulary=ids)
    files = SourceFiles(folder)
    files.check(list(parts(there, names)))
    form = _format(files.dtype, dtype)
    with folder_with_room(out, count(model) * form.itemsize) as made:
        write_weights(made, there, model.rows, names, form, files.read)
        write_state(made, _state(model, found.name, _PRECISIONS[form]))
    return Imported(
        path=str(out),
        names=names.value,
        dtype=FORMATS[_PRECISIONS[form]],
        parameters=count(model),
        vocabulary=model.vocabulary or ids,
        rope_base=rope_base_of(described),
    )


def _with_vocabulary(model: ModelConfig, ids: int, asked: int | None, where: str) -> ModelConfig:
    wanted = asked or model.vocabulary or ids
    if wanted < ids:
        raise ConfigError(
            f"{where}: vocab_size is {ids:,}, and the model has a vocabulary of {wanted:,}; give"
            " --vocabulary, or a --config, with as many"
        )
    return replace(model, vocabulary=wanted)


def _format(there: torch.dtype, asked: str | None) -> torch.dtype:
    if asked is not None:
        found: torch.dtype = getattr(torch, asked)
        return found
    return there if there in _PRECISIONS else torch.float32


def _state(model: ModelConfig, name: str, precision: str) -> State:
    return State(
        manifest="",
        phase="",
        segment=0,
        step=0,
        position=0,
        tokens=0,
        order="",
        model=model.digest(),
        model_name=name,
        vocabulary=model.vocabulary or 0,
        loss="",
        precision=precision,
        seed=0,
        distributed_optimizer=False,
        optimizer=False,
    )
