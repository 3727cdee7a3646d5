"""A checkpoint as a directory that `transformers` and vLLM load, written a tensor at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.errors import ConfigError, DataError, NotInStore
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from manifests.store import Store, open_store
from manifests.stores.memory import MemoryStore
from manifests.tokenizers import keep_tokenizer, kept_tokenizer, tokenizer_of
from trainer.convert.card import card
from trainer.convert.description import Described, write_description
from trainer.convert.parts import EMBEDDING, OUTPUT, Names, count, parts, source_shape
from trainer.convert.room import folder_with_room
from trainer.convert.tokenizer_files import end_of_turn, write_tokenizer
from trainer.convert.tokenizer_json import tokenizer_json
from trainer.loop.directories import open_checkpoint
from trainer.loop.state import State
from trainer.losses.choose import loss_of
from trainer.model.config import ModelConfig, read_config

if TYPE_CHECKING:
    from trainer.convert.tensors import Tensors

FORMATS = {"bf16": "bfloat16", "fp32": "float32"}
"""By precision of a checkpoint: the number format of its weights."""
WIDTHS = {"bfloat16": 2, "float32": 4}
"""Bytes of a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    path: str
    manifest: str
    phase: str
    step: int
    names: str
    dtype: str
    parameters: int
    files: int
    """Of weights."""


def export_checkpoint(
    checkpoint: Path,
    to: Path,
    *,
    root: str,
    names: Names = Names.PHI3,
    dtype: str | None = None,
    config: str | None = None,
    tokenizer: Path | None = None,
    largest: int = 5 * 10**9,
) -> Exported:
    """Write a checkpoint as a new Hugging Face directory, which is there whole or not at all.

    Args:
        checkpoint: Its directory, or a phase's, whose newest is taken.
        to: The new directory.
        root: Where the manifest is that it was trained on.
        names: Of the weights.
        dtype: `bfloat16` or `float32`; None as the checkpoint has them.
        config: A configuration's name or file, where the checkpoint's was a file.
        tokenizer: Its file, where the root does not keep it.
        largest: Bytes of a file of weights.

    Raises:
        ConfigError: Something asked for is not there, or does not belong to the checkpoint.
        DataError: The checkpoint is broken.
    """
    path, state = open_checkpoint(checkpoint)
    if not state.manifest:
        raise ConfigError(
            f"{path} has weights that were imported and not trained since; what it was imported"
            " from is their Hugging Face directory"
        )
    model = _model(path, state, config)
    if names is Names.LLAMA and model.hidden % model.heads:
        raise ConfigError(
            f"hidden {model.hidden} is not a multiple of heads {model.heads}, which transformers'"
            " Llama has to have; give --names phi3"
        )
    store = open_store(root)
    try:
        manifest = Manifest(store, state.manifest)
    except NotInStore as error:
        raise ConfigError(
            f"{path} was trained on sha256:{state.manifest[:12]}, which is not in {root}; give the"
            " root that it was trained from"
        ) from error
    file = _tokenizer_json(manifest, store, tokenizer)
    described = _described(manifest.phase(state.phase), model, file, manifest)
    form = dtype or FORMATS[state.precision]
    with folder_with_room(to, count(model) * WIDTHS[form]) as folder:
        files = _write_weights(path, folder, model, names, form, largest)
        write_description(folder, model, names, form, described)
        write_tokenizer(folder, file, described)
        told = card(state, manifest.root.name, model, names, form, described)
        (folder / "README.md").write_text(told)
    return Exported(
        path=str(to),
        manifest=state.manifest,
        phase=state.phase,
        step=state.step,
        names=names.value,
        dtype=form,
        parameters=count(model),
        files=files,
    )


def _model(path: Path, state: State, config: str | None) -> ModelConfig:
    found = read_config(config or state.model_name).model.with_vocabulary(state.vocabulary)
    if found.digest() != state.model:
        raise ConfigError(
            f"{path} is a checkpoint of {state.model_name} ({state.model[:12]}), and"
            f" {config or state.model_name} is another model ({found.digest()[:12]}); give the"
            " --config that it was trained with"
        )
    return found


def _tokenizer_json(manifest: Manifest, store: Store, file: Path | None) -> bytes:
    name = manifest.root.tokenizer.name
    if file is None:
        return tokenizer_json(kept_tokenizer(store, name), store)
    given = tokenizer_of(file)
    if not name.endswith(f"@{given.sha256[:12]}"):
        raise ConfigError(f"tokenizer {file} is {given.name}, and the manifest's is {name}")
    kept = MemoryStore(f"tokenizer-{given.sha256}")
    keep_tokenizer(kept, file)
    return tokenizer_json(given, kept)


def _described(phase: Phase, model: ModelConfig, file: bytes, manifest: Manifest) -> Described:
    document, turn = manifest.root.tokenizer.end_of_document, end_of_turn(file)
    talks = turn is not None and loss_of(phase.train) != "language_model"
    return Described(
        sequence_length=phase.sequence_length,
        rope_base=float(phase.train.get("rope_base", model.rope_base)),
        begin=document,
        ends=(turn, document) if talks and turn is not None else (document,),
        pad=document,
    )


def _write_weights(
    path: Path, folder: Path, model: ModelConfig, names: Names, dtype: str, largest: int
) -> int:
    import torch

    from trainer.convert.safetensors_files import write_files
    from trainer.convert.tensors import Tensors

    tensors = Tensors(path)
    wanted = list(parts(model, names))
    for source, layer in {part.source: part.layer for part in wanted}.items():
        _refuse_other_shape(tensors, source, model, of_layers=layer is not None)
    if model.tied and tensors.has(OUTPUT):
        raise DataError(f"{path}: has an {OUTPUT}, and {EMBEDDING} is tied to it")
    return len(write_files(folder, wanted, getattr(torch, dtype), largest, tensors.read))


def _refuse_other_shape(
    tensors: "Tensors", source: str, model: ModelConfig, *, of_layers: bool
) -> None:
    found = tensors.shape(source, of_layers=of_layers)
    expected = source_shape(model, source)
    if of_layers:
        expected = (model.layers, *expected)
    padded = source in (EMBEDDING, OUTPUT) and found[0] >= expected[0]
    if found != expected and not (padded and found[1:] == expected[1:]):
        raise DataError(f"{tensors.path}: {source} is {found}, expected {expected}")
