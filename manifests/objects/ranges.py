"""Tables of shards, cut into ranges by their content, so that a small change is a small object."""

import pyarrow as pa


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
