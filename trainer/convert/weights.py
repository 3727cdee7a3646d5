"""Weights as a Megatron checkpoint (`torch_dist`), written a tensor at a time, in one process.

No model is built: what Megatron expects of a checkpoint follows from the configuration. A rank that
loads it takes its part, whatever the layout.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed import checkpoint
from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
)
from torch.distributed.checkpoint.planner import (
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)

from trainer.convert.parts import EMBEDDING, OUTPUT, STACKED, Names, Part, parts, source_shape
from trainer.model.config import ModelConfig

FORMAT = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}
"""`metadata.json`, by which Megatron knows how to read the rest."""
# Layers of Megatron ask for a state beside their weights, which is empty but under FP8. Those of
# Transformer Engine ask for that of attention and of the last norm, too.
_STATES_OF_LAYERS = (
    "mlp.linear_fc1",
    "mlp.linear_fc2",
    "self_attention.core_attention",
    "self_attention.linear_proj",
    "self_attention.linear_qkv",
)
_STATES = ("decoder.final_layernorm",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What is written at once: a tensor, or one layer of it."""

    key: str
    layer: int | None
    parts: tuple[Part, ...]
    shape: tuple[int, ...]
    """With padding."""


def write_weights(
    folder: Path,
    config: ModelConfig,
    rows: int,
    names: Names,
    dtype: torch.dtype,
    read: Callable[[Part], torch.Tensor],
) -> None:
    """Write a checkpoint's tensors, and what Megatron wants beside them, into an empty folder.

    The embeddings get `rows` rows; those beyond the vocabulary are the mean of the others, so that
    no id that was never seen has a logit that stands out.
    """
    planner = _FromParts(list(chunks(config, rows, names)), config, dtype, read)
    writer = FileSystemWriter(str(folder))
    with warnings.catch_warnings():
        # That there is one process, which is what is wanted.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        checkpoint.save({}, storage_writer=writer, planner=planner, no_dist=True)
    torch.save({}, folder / "common.pt")
    (folder / "metadata.json").write_text(json.dumps(FORMAT))


def chunks(config: ModelConfig, rows: int, names: Names) -> Iterator[Chunk]:
    """All of the model, each with the tensors of the Hugging Face model that it is made of."""
    gathered: dict[tuple[str, int | None], list[Part]] = {}
    for part in parts(config, names):
        gathered.setdefault((part.source, part.layer), []).append(part)
    for (source, layer), made_of in gathered.items():
        shape = source_shape(config, source)
        yield Chunk(
            key=source if layer is None else STACKED + source,
            layer=layer,
            parts=tuple(made_of),
            shape=(rows, *shape[1:]) if source in (EMBEDDING, OUTPUT) else shape,
        )


class _FromParts(DefaultSavePlanner):  # type: ignore[misc]  # torch has no types here
    """Says what is written, and makes each tensor when it is asked for."""

    def __init__(
        self,
        chunks: list[Chunk],
        config: ModelConfig,
        dtype: torch.dtype,
        read: Callable[[Part], torch.Tensor],
    ) -> None:
        super().__init__(flatten_state_dict=False)
        self._config, self._dtype, self._read = config, dtype, read
        self._chunks: Mapping[MetadataIndex, Chunk] = {_index(chunk): chunk for chunk in chunks}

    def create_local_plan(self) -> SavePlan:
        tensors = [self._tensor_item(index, chunk) for index, chunk in self._chunks.items()]
        states = [
            WriteItem(index=MetadataIndex(name), type=WriteItemType.BYTE_IO)
            for name in _states(self._config)
        ]
        self.plan = SavePlan([*tensors, *states])
        return self.plan

    def lookup_object(self, index: MetadataIndex) -> Any:
        if index not in self._chunks:
            return [None]  # a state that is empty
        chunk = self._chunks[index]
        tensor = assembled(chunk, self._read, self._dtype)
        return tensor if chunk.layer is None else tensor[None]

    def _tensor_item(self, index: MetadataIndex, chunk: Chunk) -> WriteItem:
        size = chunk.shape if chunk.layer is None else (self._config.layers, *chunk.shape)
        held = size if chunk.layer is None else (1, *chunk.shape)
        place = ChunkStorageMetadata(index.offset, torch.Size(held))
        properties = TensorProperties(dtype=self._dtype)
        data = TensorWriteData(chunk=place, properties=properties, size=torch.Size(size))
        return WriteItem(index=index, type=WriteItemType.SHARD, tensor_data=data)


def assembled(
    chunk: Chunk, read: Callable[[Part], torch.Tensor], dtype: torch.dtype
) -> torch.Tensor:
    """The tensor as Megatron has it."""
    tensor = torch.empty(chunk.shape, dtype=dtype)
    filled = 0
    for part in chunk.parts:
        found = read(part)
        if part.rows is None:
            tensor[: len(found)] = found
        else:
            tensor[torch.from_numpy(part.rows)] = found.to(dtype)
        filled += len(found)
    if filled < len(tensor):
        tensor[filled:] = tensor[:filled].mean(0, dtype=torch.float32)
    return tensor


def _index(chunk: Chunk) -> MetadataIndex:
    if chunk.layer is None:
        return MetadataIndex(chunk.key, [0] * len(chunk.shape))
    return MetadataIndex(chunk.key, [chunk.layer, *[0] * len(chunk.shape)])


def _states(config: ModelConfig) -> Iterator[str]:
    for name in _STATES_OF_LAYERS:
        for layer in range(config.layers):
            yield f"{STACKED}{name}._extra_state/shard_{layer}_{config.layers}"
    for name in _STATES:
        yield f"{name}._extra_state/shard_0_1"
