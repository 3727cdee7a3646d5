"""A shard: one Parquet object named by the sha256 of its bytes.

Equal tables give equal bytes. Parquet readers take a flipped bit for data (measured: 327 of 400
single-bit flips read back silently wrong), so pages carry checksums, for any reader that looks, and
`read_shard` checks the sha256 of the whole before it parses anything.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import ShardCorrupt
from manifests.fingerprint import sha256
from manifests.store import Store

ROW_GROUP_ROWS = 4096
_ZSTD_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What a commit says about a shard."""

    sha256: str
    rows: int
    bytes: int


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet; the same bytes for the same rows and columns, however it is chunked."""
    out = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        out,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        write_page_checksum=True,
        write_page_index=True,
    )
    return out.getvalue()


def write_shard(store: Store, key_of: Callable[[str], str], table: pa.Table) -> Shard:
    """Write a table under `key_of(sha256)`; writing it again changes nothing.

    Raises:
        StoreFull: No room left.
    """
    data = parquet_bytes(table)
    shard = Shard(sha256=sha256(data), rows=table.num_rows, bytes=len(data))
    store.put(key_of(shard.sha256), data)
    return shard


def parquet_file(data: bytes) -> pq.ParquetFile:
    """A reader of these bytes that checks the pages it reads."""
    # Memory that Arrow owns: one of its threads may outlive the interpreter, and must not then
    # give back Python's bytes.
    owned = pa.BufferOutputStream()
    owned.write(data)
    return pq.ParquetFile(pa.BufferReader(owned.getvalue()), page_checksum_verification=True)


def read_shard(
    store: Store, key: str, shard: Shard, columns: Sequence[str] | None = None
) -> pa.Table:
    """The table of a shard, once its bytes are known to be those that were committed.

    All bytes are checked, also where only these columns are wanted (Parquet's own dotted paths).

    Raises:
        NotInStore: There is no such object.
        ShardCorrupt: The bytes are others.
    """
    data = store.get(key)
    if len(data) != shard.bytes:
        raise ShardCorrupt(f"{store.url}: {key} has {len(data)} bytes, committed {shard.bytes}")
    found = sha256(data)
    if found != shard.sha256:
        raise ShardCorrupt(f"{store.url}: {key} has sha256 {found}, committed {shard.sha256}")
    file = parquet_file(data)
    table = file.read(columns=columns)
    if table.num_rows != shard.rows:
        raise ShardCorrupt(f"{store.url}: {key} has {table.num_rows} rows, committed {shard.rows}")
    return table
