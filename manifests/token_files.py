"""Token files: ids of documents, end to end, as Parquet that can be memory-mapped as one array.

One required column of fixed-length binary rows, PLAIN, uncompressed, one row group with one page:
so all ids lie in the file one behind the other, and any Parquet reader opens it all the same. The
last row is filled up with the end-of-document id; the footer's metadata says how many ids count.
That the file lies so is asserted when it is written and checked when it is opened.
"""

import io
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import ConfigError, DataError

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
Bytes = bytes | mmap.mmap

COLUMN = "ids"
ROW_IDS = 4096
"""Ids of a row; windows of any length lie across rows."""
MAX_BYTES = 2**31 - 2**16
"""Of all rows: a page cannot be larger."""

_ROW = "scriptorium.row"
_VERSION = "scriptorium.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What a token file says of itself."""

    ids: int
    """How many, ends of documents included, the filling behind the last one not."""
    tokenizer: str
    """`name@<12 hex digits>`, or `utf8-bytes@1`."""
    vocabulary: int
    """Every id is below it."""
    end_of_document: int


def id_type(vocabulary: int) -> np.dtype[Any]:
    """Two bytes an id where the vocabulary allows it, four otherwise; little-endian."""
    return np.dtype("<u2" if vocabulary <= 2**16 else "<u4")


def token_file_bytes(ids: npt.NDArray[Any], facts: TokenFacts) -> bytes:
    """The file of these ids, one dimension; the same bytes for the same ids and facts.

    Raises:
        ConfigError: More ids than a page holds.
    """
    kind = id_type(facts.vocabulary)
    rows = -(-len(ids) // ROW_IDS)
    width = ROW_IDS * kind.itemsize
    if len(ids) != facts.ids:
        raise ValueError(f"{len(ids)} ids, {facts.ids} in the facts")
    if rows * width > MAX_BYTES:
        raise ConfigError(
            f"a slice of {facts.ids} tokens: a token file holds {MAX_BYTES // kind.itemsize}; cut"
            " the documents into smaller slices"
        )
    filled = np.full(rows * ROW_IDS, facts.end_of_document, dtype=kind)
    filled[: len(ids)] = ids
    binary = pa.binary(width)
    column = pa.FixedSizeBinaryArray.from_buffers(binary, rows, [None, pa.py_buffer(filled)])
    schema = pa.schema([pa.field(COLUMN, binary, nullable=False)])
    data = _written(pa.table([column], schema=schema), facts)
    # Where the ids lie is pyarrow's doing, so what it did is looked at.
    place = _place(
        data, "a token file just written", pq.read_metadata(pa.BufferReader(data)), facts
    )
    if data[place : place + filled.nbytes] != filled.tobytes():
        raise DataError("pyarrow no longer writes token files as they are laid out")
    return data


def open_token_file(path: Path) -> tuple[TokenFacts, Ids]:
    """What the file says of itself, and its ids: one dimension, mapped, not read; not aligned.

    Its sha256 is not looked at.

    Raises:
        DataError: It is no token file, or not laid out as one.
    """
    return map_ids(path, *find_ids(path))


def find_ids(path: Path) -> tuple[TokenFacts, int]:
    """What the file says of itself, and the byte at which its ids begin; raises as the above."""
    data = _mapped(path)
    return _found(data, str(path), path)


def map_ids(path: Path, facts: TokenFacts, place: int) -> tuple[TokenFacts, Ids]:
    """The ids of a file that `find_ids` looked at: mapped anew, in a tenth of the time."""
    return facts, _ids(_mapped(path), facts, place)


def read_token_file(data: bytes, where: str) -> tuple[TokenFacts, Ids]:
    """As `open_token_file`, of bytes that are in memory; `where` names them in errors."""
    facts, place = _found(data, where, pa.BufferReader(data))
    return facts, _ids(data, facts, place)


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a token file ({error})") from error


def _found(data: Bytes, where: str, source: Path | pa.NativeFile) -> tuple[TokenFacts, int]:
    """What these bytes say of themselves, and where their first id is."""
    try:
        metadata = pq.read_metadata(source)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where}: not a token file ({str(error).splitlines()[0]})") from error
    facts = _facts(metadata.metadata or {}, where)
    return facts, _place(data, where, metadata, facts)


def _ids(data: Bytes, facts: TokenFacts, place: int) -> Ids:
    kind = id_type(facts.vocabulary)
    if not facts.ids:
        return np.zeros(0, dtype=kind)
    ids: Ids = np.frombuffer(data, dtype=kind, count=facts.ids, offset=place)
    return ids


def _written(table: pa.Table, facts: TokenFacts) -> bytes:
    out = io.BytesIO()
    rows = table.num_rows
    with pq.ParquetWriter(
        out,
        table.schema,
        compression="NONE",
        use_dictionary=False,
        column_encoding={COLUMN: "PLAIN"},
        data_page_size=2**31 - 1,
        write_batch_size=max(rows, 1),
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        if rows:
            writer.write_table(table, row_group_size=rows)
        writer.add_key_value_metadata(_metadata(facts))
    return out.getvalue()


def _metadata(facts: TokenFacts) -> dict[str, str]:
    return {
        _ROW: "tokens",
        _VERSION: "1",
        **{f"scriptorium.{f.name}": str(getattr(facts, f.name)) for f in fields(facts)},
    }


def _facts(metadata: Mapping[bytes, bytes], where: str) -> TokenFacts:
    try:
        text = {
            f.name: metadata[f"scriptorium.{f.name}".encode()].decode() for f in fields(TokenFacts)
        }
        if metadata[_ROW.encode()] != b"tokens" or metadata[_VERSION.encode()] != b"1":
            raise ValueError("of another row type or version")
        return TokenFacts(
            ids=int(text["ids"]),
            tokenizer=text["tokenizer"],
            vocabulary=int(text["vocabulary"]),
            end_of_document=int(text["end_of_document"]),
        )
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: not a token file: {error}") from error


def _place(data: Bytes, where: str, metadata: pq.FileMetaData, facts: TokenFacts) -> int:
    """The offset of the first id.

    Raises:
        DataError: The rows do not lie in one plain page, or are not as many as the facts say.
    """
    rows = -(-facts.ids // ROW_IDS)
    if not facts.ids and not metadata.num_rows:
        return 0
    size = rows * ROW_IDS * id_type(facts.vocabulary).itemsize
    column = metadata.row_group(0).column(0)
    offset, total = column.data_page_offset, column.total_compressed_size
    place: int = offset + total - size
    plain = column.compression == "UNCOMPRESSED" and not column.has_dictionary_page
    one = (metadata.num_row_groups, metadata.num_columns, metadata.num_rows) == (1, 1, rows)
    if not (plain and one and offset < place <= len(data) - size):
        raise DataError(f"{where}: its ids do not lie in one page, plain and uncompressed")
    if _page_sizes(bytes(data[offset:place])) != (size, size):
        raise DataError(f"{where}: its ids do not lie in one page")
    return place


def _page_sizes(header: bytes) -> tuple[int, ...]:
    """Uncompressed and compressed size, by the first three fields of a page header.

    In Thrift's compact protocol each is the byte 0x15 (a 32-bit integer, one field on) and a zigzag
    varint; the first is the type of the page, 0 for data.
    """
    values, at = [], 0
    for _ in range(3):
        value = shift = 0
        at += 1
        while at < len(header):
            value |= (header[at] & 0x7F) << shift
            shift += 7
            at += 1
            if header[at - 1] < 0x80:
                break
        values.append(value >> 1)
    return tuple(values[1:]) if values[0] == 0 and header[:1] == b"\x15" else ()
