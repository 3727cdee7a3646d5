"""Safetensors files written a tensor at a time, so that no file has to fit into memory.

Format: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length, the
header in JSON, the bytes of all tensors end to end.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import torch

from trainer.convert.parts import Part

FORMATS = {torch.float32: "F32", torch.bfloat16: "BF16"}
INDEX = "model.safetensors.index.json"


def write_files(
    folder: Path,
    parts: Sequence[Part],
    dtype: torch.dtype,
    largest: int,
    read: Callable[[Part], torch.Tensor],
) -> list[Path]:
    """Write the parts into files of up to `largest` bytes of tensors, or one tensor where that has
    more; with an index where there are several.
    """
    shares = _shares(parts, dtype.itemsize, largest)
    names = [_name(number, len(shares)) for number in range(1, len(shares) + 1)]
    for name, share in zip(names, shares, strict=True):
        with (folder / name).open("wb") as file:
            _write(file, share, dtype, read)
    if len(shares) > 1:
        _write_index(folder / INDEX, dict(zip(names, shares, strict=True)), dtype.itemsize)
    return [folder / name for name in names]


def _name(number: int, files: int) -> str:
    """As `transformers` names them."""
    return "model.safetensors" if files == 1 else f"model-{number:05d}-of-{files:05d}.safetensors"


def _shares(parts: Sequence[Part], width: int, largest: int) -> list[list[Part]]:
    shares: list[list[Part]] = []
    room = 0
    for part in parts:
        size = _size(part, width)
        if not shares or size > room:
            shares.append([])
            room = largest
        shares[-1].append(part)
        room -= size
    return shares


def _size(part: Part, width: int) -> int:
    return math.prod(part.shape) * width


def _write(
    file: BinaryIO, parts: Sequence[Part], dtype: torch.dtype, read: Callable[[Part], torch.Tensor]
) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for part in parts:
        start, end = end, end + _size(part, dtype.itemsize)
        header[part.name] = {
            "dtype": FORMATS[dtype],
            "shape": part.shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    file.write(len(text).to_bytes(8, "little") + text)
    for part in parts:
        tensor = read(part).to(dtype).contiguous()
        if tuple(tensor.shape) != part.shape:
            raise ValueError(f"{part.name}: {tuple(tensor.shape)} read, {part.shape} planned")
        file.write(tensor.flatten().view(torch.uint8).numpy().data)


def _write_index(path: Path, files: dict[str, list[Part]], width: int) -> None:
    every = [part for share in files.values() for part in share]
    index = {
        "metadata": {
            "total_parameters": sum(math.prod(part.shape) for part in every),
            "total_size": sum(_size(part, width) for part in every),
        },
        "weight_map": {part.name: name for name, share in files.items() for part in share},
    }
    path.write_text(json.dumps(index, indent=2) + "\n")
