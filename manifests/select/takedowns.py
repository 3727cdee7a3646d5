"""Records that must not be trained on: which they are, and leaves without them.

Nothing says in which shard a record is but the shard, so all are read, each once for all leaves.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.documents import Mask, ShardRow, read_columns
from manifests.errors import ConfigError
from manifests.select.picking import FACTS, Part, Progress, over_files, part, with_parts
from manifests.shards import parquet_file
from manifests.spec.types import Removal
from manifests.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenDown:
    """Leaves without the removed records."""

    tables: tuple[pa.Table, ...]
    """In the order given; a table may be empty now."""
    records: tuple[int, ...]
    """How many each leaf lost."""
    missing: tuple[str, ...]
    """Ids that no leaf had, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cleaned:
    """A shard that held removed records."""

    found: frozenset[str]
    lost: dict[int, int]
    """Records, by leaf; leaves that lost none are left out."""
    parts: dict[int, Part]
    """What is left, by leaf; leaves that lost all are left out."""


def removed_ids(removals: Iterable[Removal]) -> tuple[str, ...]:
    """The ids of all removed records, sorted; the removal of a source names none.

    A report is a path or an fsspec URL.

    Raises:
        ConfigError: A report is not there, or not in a form that can be read.
    """
    ids: set[str] = set()
    for removal in removals:
        ids.update(removal.records)
        if removal.report:
            ids.update(_reported(removal.report))
    return tuple(sorted(ids))


def take_down(
    store: Store, tables: Sequence[pa.Table], ids: Sequence[str], progress: Progress | None = None
) -> TakenDown:
    """The leaves whose shard rows these tables are, without the records that have one of `ids`.

    Raises:
        DataError: A data file is broken.
    """
    if not ids:
        return TakenDown(tables=tuple(tables), records=(0,) * len(tables), missing=())
    wanted = frozenset(ids)
    places = _places(tables)
    keys = sorted(places)
    cleaned = over_files(
        lambda i: _clean(store, tables, places[keys[i]], wanted), range(len(keys)), progress
    )
    left, records = [], []
    for leaf, table in enumerate(tables):
        hit = {
            places[key][leaf]: shard
            for key, shard in zip(keys, cleaned, strict=True)
            if leaf in shard.lost
        }
        whole = np.setdiff1d(np.arange(table.num_rows), list(hit))
        parts = [shard.parts[leaf] for shard in hit.values() if leaf in shard.parts]
        left.append(with_parts(table, whole, parts))
        records.append(sum(shard.lost[leaf] for shard in hit.values()))
    found = frozenset[str]().union(*(shard.found for shard in cleaned))
    return TakenDown(
        tables=tuple(left), records=tuple(records), missing=tuple(sorted(wanted - found))
    )


def _places(tables: Sequence[pa.Table]) -> dict[str, dict[int, int]]:
    """By key of a shard, in which leaves it is and in which row of each."""
    places: dict[str, dict[int, int]] = {}
    for leaf, table in enumerate(tables):
        for number, key in enumerate(table["key"].to_pylist()):
            places.setdefault(key, {})[leaf] = number
    return places


def _clean(
    store: Store, tables: Sequence[pa.Table], places: dict[int, int], wanted: frozenset[str]
) -> _Cleaned:
    shards = {leaf: ShardRow.of(tables[leaf], number) for leaf, number in places.items()}
    any_of_them = next(iter(shards.values()))
    ids = read_columns(store, any_of_them, ("id",))["id"].to_pylist()
    hit: Mask = np.fromiter((text in wanted for text in ids), dtype=np.bool_, count=len(ids))
    if not hit.any():
        return _Cleaned(found=frozenset(), lost={}, parts={})
    table = read_columns(store, any_of_them, FACTS)
    found: set[str] = set()
    lost, parts = {}, {}
    for leaf, shard in shards.items():
        gone = shard.mask & hit
        stays = shard.mask & ~hit
        found.update(ids[i] for i in np.flatnonzero(gone))
        if gone.any():
            lost[leaf] = int(gone.sum())
        if gone.any() and stays.any():
            parts[leaf] = part(places[leaf], table, stays)
    return _Cleaned(found=frozenset(found), lost=lost, parts=parts)


def _reported(report: str) -> list[str]:
    import fsspec

    try:
        with fsspec.open(report, "rb") as file:
            data: bytes = file.read()
    except Exception as error:  # each kind of file system has its own errors
        raise ConfigError(f"report {report}: cannot be read: {_line(error)}") from error
    readers = {".parquet": _from_parquet, ".jsonl": _from_jsonl, ".txt": _from_text}
    for ending, read in readers.items():
        if report.endswith(ending):
            try:
                return read(data)
            except (ValueError, KeyError, TypeError) as error:  # Arrow's and JSON's are ValueErrors
                raise ConfigError(
                    f"report {report}: {_line(error)}; expected {ending} with a text `id` of every"
                    " record"
                ) from error
    raise ConfigError(f"report {report}: not a {', '.join(readers)} file")


def _from_parquet(data: bytes) -> list[str]:
    column = parquet_file(data).read(columns=["id"])["id"]
    if column.null_count:
        raise ValueError(f"{column.null_count} records without an id")
    ids: list[str] = pc.cast(column, pa.string()).to_pylist()
    return ids


def _from_jsonl(data: bytes) -> list[str]:
    ids = []
    for number, line in enumerate(data.decode().splitlines(), start=1):
        if line.strip():
            entry = json.loads(line)
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
                raise ValueError(f"line {number} has no id")
            ids.append(entry["id"])
    return ids


def _from_text(data: bytes) -> list[str]:
    return [line.strip() for line in data.decode().splitlines() if line.strip()]


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
