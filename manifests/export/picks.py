"""The shards that a leaf's table lists, and the picked rows of each, read from the store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from manifests.documents import ShardRow
from manifests.errors import DataError, ShardCorrupt
from manifests.fingerprint import sha256
from manifests.layout import data_file
from manifests.shards import Shard, read_shard
from manifests.store import Store

_ROW = tuple(field.name for field in fields(ShardRow))
COLUMNS = (*_ROW, "documents", "tokens")
"""Of a table of shard rows, what `picks` needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A shard and which of its rows belong to a leaf."""

    row: ShardRow
    documents: int
    tokens: int
    """Each document with its end-of-document token."""

    @property
    def key(self) -> str:
        """Where the shard lies in its store."""
        return data_file(self.row.step, self.row.sha256)

    @property
    def whole(self) -> bool:
        """Whether every row of the file belongs to the leaf."""
        return self.documents == self.row.rows


def picks(table: pa.Table) -> Iterator[Pick]:
    """The shards of a table with `COLUMNS` that have picked rows, in its order."""
    for batch in table.select(COLUMNS).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            shard = ShardRow(**{name: row[name] for name in _ROW})
            if row["documents"]:
                yield Pick(row=shard, documents=row["documents"], tokens=row["tokens"])


def read_bytes(store: Store, pick: Pick) -> bytes:
    """The shard's file, checked.

    Raises:
        NotInStore: There is no such object.
        ShardCorrupt: The bytes are others.
    """
    data = store.get(pick.key)
    if sha256(data) != pick.row.sha256:
        raise ShardCorrupt(f"{store.url}: {pick.key} is not what its name says; restore the file")
    return data


def read_picked(
    store: Store, pick: Pick, columns: Sequence[str] | None = None, *, some: bool = False
) -> pa.Table:
    """The picked rows, or some of their columns; with `some`, those of them that there are.

    Raises:
        NotInStore: There is no such object.
        DataError: The bytes, the rows or the columns are not those that the manifest names.
    """
    shard = Shard(sha256=pick.row.sha256, rows=pick.row.rows, bytes=pick.row.bytes)
    table = read_shard(store, pick.key, shard, columns)
    if not some and (missing := set(columns or ()) - set(table.column_names)):
        raise DataError(f"{store.url}: {pick.key} has no column {', '.join(sorted(missing))}")
    if pick.whole:
        return table
    table = table.filter(pa.array(pick.row.mask))
    if table.num_rows != pick.documents:
        raise DataError(
            f"{store.url}: {pick.key}: {table.num_rows} rows picked, {pick.documents} said"
        )
    return table
