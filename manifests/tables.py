"""Rows as Arrow tables and back: one explicit schema for each row type.

Columns are built and read whole, nested ones by their offsets, never a dictionary a row. Shards add
the column `item_id` (the row's input row), which is no field of the row. Dictionaries are lists of
name and value in the order of the names, so that equal rows give equal bytes and every Parquet
reader can take them (many know no maps). Nothing is ever null.
"""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from itertools import pairwise
from typing import TypeVar, get_args, get_origin

import numpy as np
import pyarrow as pa

from manifests.errors import DataError
from manifests.records import Record, Reject, Seed, SeedDocument
from manifests.token_rows import TokenDocument

Row = TypeVar("Row", SeedDocument, Seed, Record, Reject, TokenDocument)

SCHEMA_VERSION = 2
ITEM_ID = "item_id"


def list_of(item: pa.DataType) -> pa.DataType:
    """A list whose item has Parquet's own name, so that a schema read back is the same."""
    return pa.list_(pa.field("element", item))


def _named(value: pa.DataType) -> pa.DataType:
    return list_of(pa.struct({"name": pa.string(), "value": value}))


_CALLS = list_of(
    pa.struct(
        {
            "prompt": pa.string(),
            "completion": pa.string(),
            "teacher": pa.string(),
            "role": pa.string(),
        }
    )
)
_TURNS = list_of(pa.struct({"role": pa.string(), "content": pa.string()}))
_STEPS = list_of(
    pa.struct(
        {
            "assumption": pa.string(),
            "conclusion": pa.string(),
            "description": pa.string(),
            "start_line": pa.int64(),
            "end_line": pa.int64(),
        }
    )
)
_TAGS = pa.struct(
    {
        "info_type": pa.string(),
        "brief": pa.string(),
        "complexity": pa.string(),
        "obscurity": pa.string(),
        "has_chain": pa.bool_(),
        "steps": _STEPS,
        "dependencies": list_of(pa.string()),
    }
)

_ID_SPANS = list_of(pa.struct({"start": pa.int64(), "stop": pa.int64()}))
_ROLE_SPANS = list_of(pa.struct({"role": pa.string(), "start": pa.int64(), "stop": pa.int64()}))

_COLUMNS: dict[type, dict[str, pa.DataType]] = {
    SeedDocument: {
        "id": pa.string(),
        "source": pa.string(),
        "url": pa.string(),
        "licence": pa.string(),
        "lang": pa.string(),
        "kind": pa.string(),
        "title": pa.string(),
        "text": pa.string(),
        "sha256": pa.string(),
        ITEM_ID: pa.string(),
    },
    Seed: {
        "id": pa.string(),
        "document_id": pa.string(),
        "source": pa.string(),
        "url": pa.string(),
        "licence": pa.string(),
        "lang": pa.string(),
        "kind": pa.string(),
        "domain": pa.string(),
        "topic": pa.string(),
        "text": pa.string(),
        "start_line": pa.int64(),
        "end_line": pa.int64(),
        "page_edu": pa.int64(),
        "passage_factual": pa.int64(),
        "passage_reasoning": pa.int64(),
        "tags": _TAGS,
        "lineage": _CALLS,
        ITEM_ID: pa.string(),
    },
    Record: {
        "id": pa.string(),
        "text": pa.string(),
        "turns": _TURNS,
        "parts": _named(pa.string()),
        "bucket": pa.string(),
        "generator": pa.string(),
        "seed_ids": list_of(pa.string()),
        "source": pa.string(),
        "licence": pa.string(),
        "lang": pa.string(),
        "scores": _named(pa.float64()),
        "rounds": pa.int64(),
        "tokens": pa.int64(),
        "lineage": _CALLS,
        ITEM_ID: pa.string(),
    },
    TokenDocument: {
        "id": pa.string(),
        "form": pa.string(),
        "tokens": pa.int64(),
        "file": pa.string(),
        "start": pa.int64(),
        "loss": _ID_SPANS,
        "spans": _ROLE_SPANS,
        "bucket": pa.string(),
        "generator": pa.string(),
        "seed_ids": list_of(pa.string()),
        "source": pa.string(),
        "licence": pa.string(),
        "lang": pa.string(),
        "scores": _named(pa.float64()),
        "rounds": pa.int64(),
        "lineage": _CALLS,
        ITEM_ID: pa.string(),
    },
    Reject: {
        ITEM_ID: pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
        "by": pa.string(),
        "text": pa.string(),
        "lineage": _CALLS,
    },
}

ROW_TYPES: dict[str, type] = {cls.__name__.lower(): cls for cls in _COLUMNS}
"""Row types by the name that a schema's metadata gives them."""


def schema_of(cls: type) -> pa.Schema:
    """The schema of a shard of these rows, `item_id` included."""
    metadata = {"scriptorium.row": cls.__name__.lower(), "scriptorium.version": str(SCHEMA_VERSION)}
    return pa.schema(_COLUMNS[cls], metadata=metadata)


def to_table(
    rows: Sequence[Row], item_ids: Sequence[str] | None = None, cls: type[Row] | None = None
) -> pa.Table:
    """Rows of one type as a table; `item_ids` names the input row of each (not for rejects).

    `cls` says the type where `rows` may be empty.

    Raises:
        DataError: A text is not valid Unicode.
    """
    kind = cls or (type(rows[0]) if rows else None)
    if kind is None:
        raise ValueError("no rows: cls must say of which type")
    if any(type(row) is not kind for row in rows):
        raise TypeError(f"rows of more than one type: {sorted({type(r).__name__ for r in rows})}")
    if (kind is Reject) != (item_ids is None):
        raise ValueError("item_ids must be given for every row type but Reject, which has its own")
    if item_ids is not None and len(item_ids) != len(rows):
        raise ValueError(f"{len(item_ids)} item_ids for {len(rows)} rows")
    schema = schema_of(kind)
    columns = []
    for column in schema:
        given = column.name == ITEM_ID and item_ids is not None
        values = item_ids if given else [getattr(row, column.name) for row in rows]
        try:
            columns.append(_encode(column.type, typing.cast("Sequence[object]", values)))
        except UnicodeEncodeError as error:
            raise DataError(
                f"column {column.name} of {kind.__name__}: not valid Unicode (a lone surrogate);"
                " clean the text where it is read"
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def from_table(cls: type[Row], table: pa.Table) -> list[Row]:
    """The rows of a table; columns that are no field of `cls` are left out.

    Raises:
        DataError: A column is missing, of another type, or has a null or an unknown value.
    """
    columns = []
    names = [field.name for field in fields(cls)]
    hints = typing.get_type_hints(cls)
    for name in names:
        expected = _COLUMNS[cls][name]
        if name not in table.column_names:
            raise DataError(f"no column {name}, which a {cls.__name__} needs")
        try:
            chunks = table.column(name).cast(expected).chunks
            columns.append([value for chunk in chunks for value in _decode(hints[name], chunk)])
        except (LookupError, ValueError, NotImplementedError) as error:  # of Arrow's, too
            raise DataError(f"column {name} of {cls.__name__}: {error}") from error
    return [cls(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _encode(kind: pa.DataType, values: Sequence[typing.Any]) -> pa.Array:
    if pa.types.is_list(kind) and values and isinstance(values[0], dict):
        return _encode_named(kind, values)
    if pa.types.is_list(kind):
        flat = _encode(kind.value_type, [item for value in values for item in value])
        return pa.ListArray.from_arrays(_offsets(values), flat, type=kind)
    if pa.types.is_struct(kind):
        children = [_encode(f.type, [getattr(value, f.name) for value in values]) for f in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind))
    return pa.array(values, type=kind)


def _encode_named(kind: pa.DataType, values: Sequence[Mapping[str, object]]) -> pa.Array:
    pairs = [sorted(value.items()) for value in values]
    names = _encode(pa.string(), [name for pair in pairs for name, _ in pair])
    items = _encode(kind.value_type.field("value").type, [v for pair in pairs for _, v in pair])
    flat = pa.StructArray.from_arrays([names, items], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(_offsets(pairs), flat, type=kind)


def _decode(hint: typing.Any, array: pa.Array) -> list[typing.Any]:
    if array.null_count:
        raise ValueError(f"{array.null_count} null values")
    if get_origin(hint) is tuple:
        flat = _decode(get_args(hint)[0], array.flatten())
        return [tuple(flat[start:end]) for start, end in _spans(array)]
    if get_origin(hint) is dict:
        return _decode_named(get_args(hint)[1], array)
    if pa.types.is_struct(array.type):
        names = [field.name for field in fields(hint)]
        hints = typing.get_type_hints(hint)
        children = dict(zip((f.name for f in array.type), array.flatten(), strict=True))
        columns = [_decode(hints[name], children[name]) for name in names]
        return [hint(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    values: list[typing.Any] = array.to_pylist()
    if issubclass(hint, Enum):
        members = {member.value: member for member in hint}
        return [members[value] for value in values]
    return values


def _decode_named(hint: typing.Any, array: pa.ListArray) -> list[Mapping[str, typing.Any]]:
    flat = array.flatten()
    if flat.null_count:
        raise ValueError(f"{flat.null_count} null values")
    names, items = (
        _decode(kind, part) for kind, part in zip((str, hint), flat.flatten(), strict=True)
    )
    return [dict(zip(names[s:e], items[s:e], strict=True)) for s, e in _spans(array)]


def _offsets(values: Sequence[typing.Any]) -> pa.Array:
    lengths = np.fromiter((len(value) for value in values), dtype=np.int64, count=len(values))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return pa.array(ends, type=pa.int32())


def _spans(array: pa.ListArray) -> list[tuple[int, int]]:
    """Where each value lies, from the array's own first item."""
    offsets = (array.offsets.to_numpy() - array.offsets[0].as_py()).tolist()
    return list(pairwise(offsets))
