"""The picked documents of a shard row, read from its data file, whose content is checked first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.errors import DataError
from manifests.layout import data_file
from manifests.shards import Shard, read_shard
from manifests.store import Store

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

CACHED = 32
"""Shards whose documents are remembered: about 50 bytes a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """What a row of `manifests.objects.ranges.SHARD_ROWS` says about its file."""

    step: str
    sha256: str
    picked: bytes
    """Bitmap of the picked rows, least significant bit first; empty for all."""
    bytes: int
    rows: int

    @classmethod
    def of(cls, table: pa.Table, number: int) -> "ShardRow":
        """The row of this number of a table of shard rows."""
        names = ("step", "sha256", "bytes", "rows", "picked")
        return cls(**{name: table[name][number].as_py() for name in names})

    @property
    def mask(self) -> Mask:
        """Of each row of the file, whether it is picked.

        Raises:
            DataError: The bitmap is of another length.
        """
        if not self.picked:
            return np.ones(self.rows, dtype=np.bool_)
        if len(self.picked) != (self.rows + 7) // 8:
            raise DataError(
                f"{self.step}: shard {self.sha256}: a bitmap of {len(self.picked)} bytes for"
                f" {self.rows} rows; the manifest's table of shards is broken"
            )
        bits = np.unpackbits(
            np.frombuffer(self.picked, dtype=np.uint8), count=self.rows, bitorder="little"
        )
        return bits.astype(np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Documents in row order."""

    ids: pa.Array
    """Of the records."""
    tokens: Ints
    """Of each text, without the end-of-document token."""
    rows: Ints
    """Their rows in the file."""


def read_columns(store: Store, row: ShardRow, columns: Sequence[str]) -> pa.Table:
    """These columns of all rows of the file, picked or not.

    Raises:
        NotInStore: The file is not there.
        ShardCorrupt: Its bytes are not those that were committed.
        DataError: It lacks a column, or has nulls in it.
    """
    key = data_file(row.step, row.sha256)
    shard = Shard(sha256=row.sha256, rows=row.rows, bytes=row.bytes)
    table = read_shard(store, key, shard, columns)
    for name in columns:
        if (top := name.partition(".")[0]) not in table.column_names or table[top].null_count:
            raise DataError(f"{store.url}: {key} has no whole column {top}; is it a records file?")
    return table


def read_documents(store: Store, row: ShardRow) -> Documents:
    """The picked documents; those of the last few shards are remembered.

    Raises:
        DataError: As `read_columns`.
    """
    return _read_documents(_Opened(store.url, store), row)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A store that equals every other at the same root."""

    url: str
    store: Store = field(compare=False)


@lru_cache(maxsize=CACHED)
def _read_documents(opened: _Opened, row: ShardRow) -> Documents:
    table = read_columns(opened.store, row, ("id", "tokens"))
    rows = np.flatnonzero(row.mask)
    return Documents(
        ids=table["id"].combine_chunks().take(pa.array(rows)),
        tokens=table["tokens"].to_numpy()[rows],
        rows=rows,
    )
