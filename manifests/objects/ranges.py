"""Tables of shards, cut into ranges where their keys say so, so that a small change is small.

A table is sorted by key and cut after every key whose last 14 bits are zero: where it is cut
depends on the keys alone (as in a Prolly tree), so that a shard more, less or changed touches the
range it lies in and no other. A range is a Parquet object of some 16,000 rows; the table itself is
a JSON object that lists its ranges. Equal rows give equal digests, however they were put together.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.errors import DataError
from manifests.objects.root import Descriptor
from manifests.objects.tree import Objects
from manifests.typed_json import parse_json


def _list_of(**children: pa.DataType) -> pa.DataType:
    """A list of structs whose item has Parquet's own name, so that it reads back the same."""
    return pa.list_(pa.field("element", pa.struct(children)))


_COMPOSITION = _list_of(name=pa.string(), rows=pa.int64(), tokens=pa.int64())

SHARD_ROWS = pa.schema(
    {
        "key": pa.string(),
        "step": pa.string(),
        "slice_index": pa.int64(),
        "sha256": pa.string(),
        "bytes": pa.int64(),
        "rows": pa.int64(),
        "picked": pa.binary(),
        "documents": pa.int64(),
        "tokens": pa.int64(),
        "lengths": _list_of(bin=pa.int32(), count=pa.int64()),
        "buckets": _COMPOSITION,
        "generators": _COMPOSITION,
        "sources": _COMPOSITION,
        "licences": _COMPOSITION,
        "languages": _COMPOSITION,
        "teachers": _COMPOSITION,
    }
)
"""A row a shard. `key` is the task id, 32 hex digits; `picked` a bitmap of the rows that belong
here (`numpy.packbits`, little bit order), empty for all; `tokens` counts one more a document, for
its end; `lengths` bins tokens as `manifests.sketches.Lengths` does; compositions count text tokens.
"""

TABLE_SCHEMA = "scriptorium.shard-table/1"

_KEY_BYTES = 32
_WRITERS = 2
"""Each holds a range in the making: 40 MiB for one of 40,000 shards."""
_READERS = 8
_REPETITIVE = [
    "step",
    *(f"{f.name}.list.element.name" for f in SHARD_ROWS if f.type == _COMPOSITION),
]
_NUMBERS = [
    *(f.name for f in SHARD_ROWS if f.type == pa.int64()),
    *(f"lengths.list.element.{name}" for name in ("bin", "count")),
    *(
        f"{f.name}.list.element.{name}"
        for f in SHARD_ROWS
        if f.type == _COMPOSITION
        for name in ("rows", "tokens")
    ),
]
_NIBBLES = np.full(256, 255, dtype=np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A run of a table's rows: a Parquet object, and what is in it."""

    digest: str
    bytes: int
    first: str
    """Key of the first row."""
    last: str
    shards: int
    documents: int
    tokens: int

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(digest=self.digest, bytes=self.bytes, media="parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    schema: str
    ranges: tuple[Range, ...]


class Changed(NamedTuple):
    """Rows of the ranges that only one of two tables has; some of them may be equal in both."""

    old: pa.Table
    new: pa.Table


def write_table(objects: Objects, rows: pa.Table) -> Descriptor:
    """Keep shard rows, in any order; the descriptor of the table.

    Raises:
        ValueError: Another schema, a null, a key that is none, or one that is there twice.
    """
    if not rows.schema.equals(SHARD_ROWS):
        raise ValueError(f"not the schema of shard rows: {rows.schema.names}")
    if nulls := [name for name in rows.column_names if rows[name].null_count]:
        raise ValueError(f"shard rows are never null: {', '.join(nulls)}")
    rows, keys = _in_order(rows.replace_schema_metadata(None))
    cuts = [0, *(_boundaries(keys) + 1), len(keys)]
    spans = [(start, stop) for start, stop in pairwise(cuts) if start < stop]

    def write(span: tuple[int, int]) -> Range:
        return _write_range(objects, rows.slice(span[0], span[1] - span[0]))

    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="ranges") as writers:
        ranges = tuple(writers.map(write, spans))
    return objects.put_json(asdict(_Table(schema=TABLE_SCHEMA, ranges=ranges)))


def read_table(objects: Objects, digest: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The shard rows of a table, by key, or some of their columns.

    Raises:
        NotInStore: The table or a range is not there.
        DataError: One is broken, or this is no table.
    """
    return read_ranges(objects, ranges_of(objects, digest), columns)


def ranges_of(objects: Objects, digest: str) -> tuple[Range, ...]:
    """The ranges of a table, by key.

    Raises:
        NotInStore: The table is not there.
        DataError: It is broken, or no table.
    """
    found = parse_ranges(objects.get_by_digest(digest, "json"))
    if found is None:
        raise DataError(f"{objects.store.url}: sha256:{digest[:12]} is no table of shards")
    return found


def parse_ranges(data: bytes) -> tuple[Range, ...] | None:
    """The ranges that these bytes of a JSON object list; None when it is no table."""
    try:
        table = parse_json(_Table, data)
    except ValueError:
        return None
    return table.ranges if table.schema == TABLE_SCHEMA else None


def read_ranges(
    objects: Objects, ranges: Sequence[Range], columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of these ranges, one after the other; raises as `read_table`."""
    names = list(SHARD_ROWS.names if columns is None else columns)
    # Not `empty_table`: it asks whether it is given pandas, and imports it to see.
    schema = pa.schema([SHARD_ROWS.field(name) for name in names])

    def read(found: Range) -> pa.Table:
        return _read_range(objects, found, schema)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="ranges") as readers:
        return pa.concat_tables([pa.Table.from_batches([], schema), *readers.map(read, ranges)])


def changed_ranges(objects: Objects, old: str, new: str) -> Changed:
    """What two tables do not share; ranges that both have are not even read."""
    before, after = ranges_of(objects, old), ranges_of(objects, new)
    shared = {found.digest for found in before} & {found.digest for found in after}
    return Changed(
        read_ranges(objects, [found for found in before if found.digest not in shared]),
        read_ranges(objects, [found for found in after if found.digest not in shared]),
    )


def _in_order(rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.uint8]]:
    """The rows by key, and the keys as digits, one row of 32 each."""
    digits = _digits(rows["key"])
    # Eight digits to a number, the most significant first: these compare as the texts do.
    words = digits.view(">u8").astype(np.uint64)
    order = _out_of_order(words)
    if order is not None:
        rows, digits, words = rows.take(order), digits[order], words[order]
    same = np.flatnonzero((words[1:] == words[:-1]).all(axis=1))
    if same.size:
        raise ValueError(f"two shard rows have the key {rows['key'][int(same[0])].as_py()}")
    return rows, digits


def _out_of_order(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64] | None:
    """What puts the keys in order; None when they are."""
    before, after = words[:-1], words[1:]
    rising = np.zeros(len(before), dtype=bool)
    tied = np.ones(len(before), dtype=bool)
    for column in range(words.shape[1]):
        rising |= tied & (before[:, column] < after[:, column])
        tied &= before[:, column] == after[:, column]
    return None if (rising | tied).all() else np.lexsort(words.T[::-1])


def _digits(keys: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """The characters of the keys; ValueError when one is not 32 hex digits."""
    array = pa.concat_arrays(keys.chunks) if keys.num_chunks else pa.array([], type=pa.string())
    if not pc.all(pc.equal(pc.binary_length(array), _KEY_BYTES), min_count=0).as_py():
        raise ValueError("a shard row's key is not 32 hex digits")
    if not len(array):
        return np.empty((0, _KEY_BYTES), dtype=np.uint8)
    _, offsets, data = array.buffers()
    start = int(np.frombuffer(offsets, dtype=np.int32)[array.offset])
    text = np.frombuffer(data, dtype=np.uint8, count=len(array) * _KEY_BYTES, offset=start)
    if (_NIBBLES[text] == 255).any():
        raise ValueError("a shard row's key is not 32 hex digits")
    return text.reshape(-1, _KEY_BYTES)


def _boundaries(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Where the last 14 bits of the key are zero: three digits, and half of the fourth."""
    low = _NIBBLES[digits[:, -4:]]
    return np.flatnonzero((low[:, 1:] == 0).all(axis=1) & (low[:, 0] % 4 == 0))


def _write_range(objects: Objects, rows: pa.Table) -> Range:
    kept = objects.put(_encoded(rows), "parquet")
    return Range(
        digest=kept.digest,
        bytes=kept.bytes,
        first=rows["key"][0].as_py(),
        last=rows["key"][-1].as_py(),
        shards=rows.num_rows,
        documents=pc.sum(rows["documents"]).as_py(),
        tokens=pc.sum(rows["tokens"]).as_py(),
    )


def _encoded(rows: pa.Table) -> bytes:
    """One row group; dictionaries only where values repeat: a digest never does.

    Numbers as differences in a few bits: a quarter less time to write, a third less to read.
    """
    out = pa.BufferOutputStream()
    pq.write_table(
        rows.combine_chunks(),
        out,
        row_group_size=rows.num_rows,
        compression="zstd",
        compression_level=1,
        use_dictionary=_REPETITIVE,
        column_encoding=dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED"),
        write_page_checksum=True,
    )
    return out.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _read_range(objects: Objects, found: Range, schema: pa.Schema) -> pa.Table:
    # The sha256 was checked: page checksums would tell nothing more. No threads of Arrow's own,
    # which could outlive the bytes.
    file = pq.ParquetFile(pa.BufferReader(objects.get(found.descriptor)))
    table = file.read(columns=schema.names, use_threads=False).select(schema.names)
    if table.num_rows != found.shards or table.schema != schema:
        raise DataError(
            f"{objects.store.url}: range sha256:{found.digest[:12]} is not the {found.shards}"
            " shard rows that its table says"
        )
    return table
