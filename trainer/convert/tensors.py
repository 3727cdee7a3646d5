"""The tensors of a Megatron checkpoint, read a piece at a time, whatever ranks wrote them.

A checkpoint in the format `torch_dist` has each tensor under its name in the whole model, cut into
the chunks that ranks held; those of all layers are one tensor with the layer as first dimension.
`torch.distributed.checkpoint` knows which chunks a piece touches and reads no others, in a single
process. The list of chunks is a pickle, so a stranger's checkpoint can run code.
"""

import math
from pathlib import Path

import torch
from torch.distributed.checkpoint import DefaultLoadPlanner, FileSystemReader
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from manifests.errors import DataError
from trainer.convert.parts import ATTENTION_NORM, FEED_FORWARD_NORM, STACKED, Part

# Layer specs whose norms are not fused into the projection behind them may save them as these.
_OTHER_NAMES = {
    ATTENTION_NORM: "input_layernorm.weight",
    FEED_FORWARD_NORM: "pre_mlp_layernorm.weight",
}


class Tensors:
    """A checkpoint's directory.

    Raises:
        DataError: What it holds cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: tuple[tuple[str, int | None], torch.Tensor] | None = None
        self._reader = FileSystemReader(str(path))
        try:
            metadata = self._reader.read_metadata()
            self._reader.set_up_storage_reader(metadata, is_coordinator=True)
            self._known = metadata.state_dict_metadata
        except Exception as error:  # unpickling raises anything
            raise DataError(
                f"{path}: its .metadata cannot be read ({type(error).__name__}); copy the"
                " checkpoint again"
            ) from error

    def has(self, source: str) -> bool:
        """Whether there is a tensor of this name that is not of layers."""
        return source in self._known

    def shape(self, source: str, *, of_layers: bool) -> tuple[int, ...]:
        """Of the whole tensor; where it is of layers, their number comes first."""
        return tuple(self._find(source, of_layers=of_layers)[1].size)

    def read(self, part: Part) -> torch.Tensor:
        """The tensor of the part, in the number format that it was saved in."""
        if part.rows is None:
            return self._whole(part)
        # Several parts that follow each other are rows of one tensor, which is read once.
        place = (part.source, part.layer)
        if self._last is None or self._last[0] != place:
            self._last = None
            self._last = (place, self._whole(part))
        return self._last[1][torch.from_numpy(part.rows)]

    def _whole(self, part: Part) -> torch.Tensor:
        key, metadata = self._find(part.source, of_layers=part.layer is not None)
        offsets, size = [0] * len(metadata.size), list(metadata.size)
        if part.layer is not None:
            offsets[0], size[0] = part.layer, 1
        else:
            size[0] = part.shape[0]  # rows behind these are padding
        chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(size))
        tensor = self._piece(key, metadata, chunk)
        return tensor if part.layer is None else tensor[0]

    def _find(self, source: str, *, of_layers: bool) -> tuple[str, TensorStorageMetadata]:
        for name in (source, _OTHER_NAMES.get(source, source)):
            key = STACKED + name if of_layers else name
            found = self._known.get(key)
            if isinstance(found, TensorStorageMetadata):
                return key, found
        raise DataError(f"{self.path}: no tensor {source}: a checkpoint of another kind of model")

    def _piece(
        self, key: str, metadata: TensorStorageMetadata, chunk: ChunkStorageMetadata
    ) -> torch.Tensor:
        items = create_read_items_for_chunk_list(key, metadata, [chunk])
        if sum(math.prod(item.lengths) for item in items) != math.prod(chunk.sizes):
            raise DataError(f"{self.path}: {key} is not whole; copy the checkpoint again")
        tensor = torch.empty(chunk.sizes, dtype=metadata.properties.dtype)
        try:
            self._reader.read_data(LoadPlan(items), _Into(tensor))
        except Exception as error:  # as what is broken: OSError, EOFError, UnpicklingError, ...
            raise DataError(
                f"{self.path}: {key} cannot be read ({type(error).__name__}); copy the checkpoint"
                " again"
            ) from error
        return tensor


class _Into(DefaultLoadPlanner):  # type: ignore[misc]  # torch has no types here
    """Whatever is read lies in this tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self._tensor = tensor

    def lookup_tensor(self, index: MetadataIndex) -> torch.Tensor:
        return self._tensor
