"""L0 of tables of shards: their ranges, and the rows in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.levels.findings import Kind, LevelReport, Progress
from manifests.levels.reading import (
    Bad,
    Ints,
    at_once,
    canonical,
    checked_bytes,
    key_of,
    object_bytes,
)
from manifests.levels.rows import is_cut, schema_fits, wrong_keys, wrong_rows
from manifests.objects.ranges import TABLE_SCHEMA, Range
from manifests.objects.root import Descriptor
from manifests.store import Store

_RANGE = {
    "digest": str,
    "bytes": int,
    "first": str,
    "last": str,
    "shards": int,
    "documents": int,
    "tokens": int,
}
_RANGES_AT_ONCE = 4
"""Some 16,000 rows each, all their columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What L0 has seen of a table itself."""

    digest: str
    ranges: tuple[Range, ...]
    """Those that are whole."""
    whole: bool
    """Whether that is all of them."""
    sizes: Ints
    """Tokens of each shard, each document with its end-of-document token."""
    documents: Ints
    """Of each shard."""

    @property
    def tokens(self) -> int:
        return int(self.sizes.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A range, read."""

    part: Range
    wrong: tuple[tuple[Kind, str], ...]
    sizes: Ints | None
    """None where its rows cannot be read."""
    documents: Ints | None


def check_tables(
    store: Store,
    tables: Iterable[Descriptor],
    report: LevelReport,
    progress: Progress | None = None,
) -> dict[str, TableFacts]:
    """Read all ranges of these tables; the facts of each that is a table, by digest."""
    listed = {table.digest: _ranges(store, table, report) for table in tables}
    ranges = {
        (part.digest, part is parts[-1]): part
        for parts in listed.values()
        if parts
        for part in parts
    }
    told = partial(progress, "ranges") if progress else None
    done = at_once(
        lambda item: _read(store, item[1], item[0][1]),
        sorted(ranges.items()),
        told,
        _RANGES_AT_ONCE,
    )
    read = {
        (found.part.digest, last): found
        for found, (_, last) in zip(done, sorted(ranges), strict=True)
    }
    for found in done:
        for kind, what in found.wrong:
            report.found(kind, key_of(found.part.digest, "parquet"), what)
    report.count("ranges", len({digest for digest, _ in ranges}))
    return {
        digest: _facts(digest, parts, read, report)
        for digest, parts in listed.items()
        if parts is not None
    }


def _ranges(store: Store, table: Descriptor, report: LevelReport) -> tuple[Range, ...] | None:
    """The ranges that a table lists; None where it is none."""
    where = key_of(table.digest, table.media)
    try:
        plain = canonical(object_bytes(store, table))
        parts = _parsed(plain)
    except Bad as bad:
        report.found(bad.kind, where, bad.what)
        return None
    keys = [key for part in parts for key in (part.first, part.last)]
    inside = [part for part in parts if part.first > part.last]
    between = [a.last for a, b in pairwise(parts) if a.last >= b.first]
    if inside or between or not keys:
        report.found(Kind.FORM, where, "its ranges are not sorted, distinct and one or more")
    if [part for part in parts[:-1] if not is_cut(part.last)]:
        report.found(Kind.FORM, where, "a range ends where its last key does not say so")
    return parts


def _parsed(plain: Any) -> tuple[Range, ...]:
    if not isinstance(plain, dict) or plain.get("schema") != TABLE_SCHEMA:
        raise Bad(Kind.FORM, f"is no table of the schema {TABLE_SCHEMA}")
    parts = plain.get("ranges")
    if set(plain) != {"schema", "ranges"} or not isinstance(parts, list):
        raise Bad(Kind.FORM, "is no table of shards")
    for part in parts:
        if not isinstance(part, dict) or {k: type(v) for k, v in part.items()} != _RANGE:
            raise Bad(Kind.FORM, "lists something that is no range")
    return tuple(Range(**part) for part in parts)


def _read(store: Store, part: Range, last: bool) -> _Read:
    try:
        data = checked_bytes(store, key_of(part.digest, "parquet"), part.digest, part.bytes)
        table = _table(data)
    except Bad as bad:
        return _Read(part=part, wrong=((bad.kind, bad.what),), sizes=None, documents=None)
    wrong = [*wrong_keys(table["key"].to_pylist(), last), *wrong_rows(table)]
    sizes, documents = (
        np.asarray(table[name].to_numpy(), dtype=np.int64) for name in ("tokens", "documents")
    )
    has = (table["key"][0].as_py(), table["key"][-1].as_py(), len(sizes))
    if has != (part.first, part.last, part.shards):
        wrong.append((Kind.COUNT, "its keys or number of rows are not as the table has them"))
    if (documents.sum(), sizes.sum()) != (part.documents, part.tokens):
        what = "documents and tokens do not sum to what the table has"
        wrong.append(
            (
                Kind.COUNT,
                f"{what}: {documents.sum():,} and {sizes.sum():,}, there"
                f" {part.documents:,} and {part.tokens:,}",
            )
        )
    return _Read(part=part, wrong=tuple(wrong), sizes=sizes, documents=documents)


def _table(data: bytes) -> pa.Table:
    """The rows of a range; Bad where there are none to read."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        table = file.read(use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Bad(Kind.CORRUPT, f"cannot be read: {str(error).splitlines()[0]}") from None
    if not schema_fits(table) or not table.num_rows:
        raise Bad(Kind.FORM, "has other columns than shard rows, or no row")
    if any(table[name].null_count for name in ("key", "tokens", "documents")):
        raise Bad(Kind.FORM, "has nulls")
    return table


def _facts(
    digest: str,
    parts: tuple[Range, ...],
    read: dict[tuple[str, bool], _Read],
    report: LevelReport,
) -> TableFacts:
    found = [read[part.digest, part is parts[-1]] for part in parts]
    whole = [one for one in found if one.sizes is not None and one.documents is not None]
    none = np.zeros(0, dtype=np.int64)
    facts = TableFacts(
        digest=digest,
        ranges=tuple(one.part for one in whole),
        whole=len(whole) == len(parts),
        sizes=np.concatenate([none, *(one.sizes for one in whole if one.sizes is not None)]),
        documents=np.concatenate([none, *(o.documents for o in whole if o.documents is not None)]),
    )
    report.count("shard rows", len(facts.sizes))
    return facts
