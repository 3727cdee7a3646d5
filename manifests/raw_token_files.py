"""Token files read without the code that writes them, for proofs from the files alone.

A file is decoded as any Parquet reader does it, and its raw bytes have to be the same ids; then the
documents' rows have to cover it from end to end, each followed by the end-of-document id.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

_ENDS = {"start": pa.int64(), "stop": pa.int64()}
PLACE_TYPES = {
    "tokens": pa.int64(),
    "file": pa.string(),
    "start": pa.int64(),
    "loss": pa.list_(pa.field("element", pa.struct(_ENDS))),
    "spans": pa.list_(pa.field("element", pa.struct({"role": pa.string(), **_ENDS}))),
}
"""Columns of a documents file that say where its documents lie."""
SHOWN = 3
_ROW_IDS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTokens:
    """A token file whose layout holds."""

    ids: npt.NDArray[Any]
    """Without the filling behind the last one."""
    tokenizer: str
    end_of_document: int


def parse_token_file(data: bytes) -> RawTokens:
    """The ids in these bytes.

    Raises:
        ValueError: They are no token file, a page is broken, ids do not lie end to end, one is not
            of the vocabulary, or the last row is filled with something else.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        decoded = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"cannot be read: {str(error).splitlines()[0]}") from None
    text = {name.decode(): value.decode() for name, value in (file.metadata.metadata or {}).items()}
    try:
        count, vocabulary, end = (
            int(text[f"scriptorium.{name}"]) for name in ("ids", "vocabulary", "end_of_document")
        )
        tokenizer = text["scriptorium.tokenizer"]
        kind = (text["scriptorium.row"], text["scriptorium.version"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"its footer does not say what it holds: {error}") from None
    if kind != ("tokens", "1") or decoded.column_names != ["ids"]:
        raise ValueError("is no token file of version 1")
    number = np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")
    found = _column(decoded["ids"], _ROW_IDS * number.itemsize).view(number)
    if not 0 <= count <= len(found) or len(found) - count >= _ROW_IDS:
        raise ValueError(f"holds {len(found):,} ids with its filling, and says {count:,}")
    if len(found) and not _lies_so(data, file.metadata, found):
        raise ValueError("its ids do not lie end to end in one plain page")
    if (found[count:] != end).any():
        raise ValueError("its last row is not filled with the end-of-document id")
    if (found >= vocabulary).any():
        raise ValueError(f"id {int(found.max())} is not below its vocabulary, {vocabulary}")
    return RawTokens(ids=found[:count], tokenizer=tokenizer, end_of_document=end)


def are_whole(table: pa.Table) -> bool:
    """Whether nothing in it is null, in lists of structs neither."""
    for column in table.columns:
        parts = [pa.concat_arrays([*column.chunks, pa.array([], column.type)])]
        if pa.types.is_list(column.type):
            flat = parts[0].flatten()
            parts += [flat, *flat.flatten()]
        if any(part.null_count for part in parts):
            return False
    return True


def named_files(rows: pa.Table) -> list[str]:
    """The token files that rows name, sorted."""
    return sorted(rows["file"].unique().to_pylist())


def wrong_places(rows: pa.Table, files: Mapping[str, RawTokens]) -> Iterator[str]:
    """What is not so about where the documents of a data file lie, `PLACE_TYPES` of it.

    Rows of files that are not given are left alone.
    """
    tokens, starts = (np.asarray(rows[name], dtype=np.int64) for name in ("tokens", "start"))
    for name, most in (("loss", tokens + 1), ("spans", tokens)):
        yield from _at(_outside(rows[name], most), f"{name} beyond the document's ids")
    names = np.asarray(rows["file"], dtype=object)
    for name, file in files.items():
        mine = np.flatnonzero(names == name)
        wrong = list(_wrong_in_file(file, starts[mine], tokens[mine], mine))
        yield from (f"token file {name[:12]}: {what}" for what in wrong)


def _wrong_in_file(
    file: RawTokens, starts: npt.NDArray[Any], tokens: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> Iterator[str]:
    ends = starts + tokens
    outside = (starts < 0) | (tokens < 0) | (ends >= len(file.ids))
    yield from _at(outside, "beyond its ids", rows)
    inside = np.flatnonzero(~outside)
    unclosed = file.ids[ends[inside]] != file.end_of_document
    yield from _at(unclosed, "no end of document behind the last id", rows[inside])
    yield from _at(starts[1:] < ends[:-1] + 1, "begins before the row before it ends", rows[1:])
    total = int((tokens + 1).sum())
    if total != len(file.ids):
        yield f"holds {len(file.ids):,} ids, and its documents come to {total:,}"


def _column(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint8]:
    """The bytes of a column of rows of this width."""
    if column.null_count or column.type != pa.binary(width):
        raise ValueError(f"its rows are not of {width} bytes each")
    if not len(column):
        return np.zeros(0, dtype=np.uint8)
    array = pa.concat_arrays(column.chunks)
    found = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    return found[array.offset * width :][: len(array) * width]


def _lies_so(data: bytes, metadata: pq.FileMetaData, ids: npt.NDArray[Any]) -> bool:
    """Whether the file's own bytes are these ids, where the only page ends."""
    if (metadata.num_row_groups, metadata.num_columns) != (1, 1):
        return False
    column = metadata.row_group(0).column(0)
    stop = column.data_page_offset + column.total_compressed_size
    start = stop - ids.nbytes
    if start < 0 or stop > len(data) or column.compression != "UNCOMPRESSED":
        return False
    return np.array_equal(np.frombuffer(data, np.uint8)[start:stop], ids.view(np.uint8))


def _outside(lists: pa.ChunkedArray, most: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Of each row whether one of its spans is not within 0 and `most`, or empty."""
    array = pa.concat_arrays([*lists.chunks, pa.array([], lists.type)])
    flat = array.flatten()
    owners = np.repeat(np.arange(len(array)), np.asarray(array.value_lengths(), dtype=np.int64))
    start, stop = (np.asarray(flat.field(name), dtype=np.int64) for name in ("start", "stop"))
    bad = (start < 0) | (stop <= start) | (stop > most[owners])
    return np.isin(np.arange(len(array)), owners[bad])


def _at(
    bad: npt.NDArray[np.bool_], what: str, rows: npt.NDArray[Any] | None = None
) -> Iterator[str]:
    """One finding for all rows that are bad, with the first few numbers."""
    if bad.any():
        numbers = np.flatnonzero(bad) if rows is None else rows[bad]
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        yield f"{what}: rows {', '.join(map(str, numbers[:SHOWN].tolist()))}{more}"
