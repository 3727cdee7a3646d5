"""Megatron's IndexedDataset, a `.bin` of tokens and an `.idx` of documents, written in one pass.

The `.idx` is: header, version, type, counts, then of each sequence its length (int32) and its byte
offset (int64), then the first sequence of each document and the end (int64). Every document is one
sequence. All three lists lie at known places, so they are filled in as documents come; memory does
not follow their number. Source: megatron-core 0.16.1, core/datasets/indexed_dataset.py.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manifests.errors import DataError

SMALL_VOCABULARY = 65_500
"""Below it tokens are uint16, as `DType.optimal_dtype` has it."""

_HEADER = b"MMIDIDX\x00\x00"
_CODES = {"int32": 4, "uint16": 8}
_LISTS = len(_HEADER) + struct.calcsize("<QBQQ")
"""Where the list of lengths begins."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents end to end."""

    tokens: npt.NDArray[np.integer]
    lengths: npt.NDArray[np.int64]
    """Of each document; they sum to the tokens."""


def token_type(vocabulary: int) -> np.dtype[np.integer]:
    """What ids below `vocabulary` are written as."""
    return np.dtype("<u2") if vocabulary < SMALL_VOCABULARY else np.dtype("<i4")


def write_indexed(
    prefix: Path, batches: Iterable[Batch], documents: int, kind: np.dtype[np.integer]
) -> int:
    """Write `<prefix>.bin` and `<prefix>.idx`; how many tokens they hold.

    Raises:
        DataError: There are more or fewer documents than said, or one is longer than 2**31 tokens.
    """
    seen = tokens = 0
    with open(f"{prefix}.bin", "xb") as data, open(f"{prefix}.idx", "xb") as index:
        index.write(_HEADER + struct.pack("<QBQQ", 1, _CODES[kind.name], documents, documents + 1))
        for batch in batches:
            count = len(batch.lengths)
            if seen + count > documents or np.any(batch.lengths >= 2**31):
                raise DataError(f"{prefix.name}: more than {documents} documents, or one too long")
            data.write(batch.tokens.astype(kind).tobytes())
            starts = tokens + np.cumsum(batch.lengths) - batch.lengths
            index.seek(_LISTS + 4 * seen)
            index.write(batch.lengths.astype("<i4").tobytes())
            index.seek(_LISTS + 4 * documents + 8 * seen)
            index.write((starts * kind.itemsize).astype("<i8").tobytes())
            seen += count
            tokens += len(batch.tokens)
        if seen != documents:
            raise DataError(f"{prefix.name}: {seen} documents, {documents} said")
        index.seek(_LISTS + 12 * documents)
        for first in range(0, documents + 1, 1 << 20):
            last = min(first + (1 << 20), documents + 1)
            index.write(np.arange(first, last, dtype="<i8").tobytes())
    return tokens
