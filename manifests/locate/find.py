"""Which shards of a manifest hold some records: ids are scanned, each file once for all tables.

Nothing says in which shard a record is but the shard. A record is in a step once, so the step's
other files are left alone as soon as all records were found in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.documents import ShardRow, read_columns
from manifests.errors import ConfigError
from manifests.locate.contents import Contents
from manifests.select.picking import READERS, Progress, over_files

Ints = npt.NDArray[np.int64]

_LOT = 4 * READERS
"""Files between two looks at what is still to be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A record in a table of the manifest."""

    id: str
    table: str
    """Its digest."""
    shard: int
    """Row of the table."""
    document: int
    """Among the picked documents of the shard."""
    row: int
    """Of the file."""
    tokens: int
    """Of its text."""


class _Seen(NamedTuple):
    """A wanted record in a file."""

    id: str
    row: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where records are."""

    hits: tuple[Hit, ...]
    """By table, shard and row."""
    left_out: dict[str, str]
    """By id, the file that holds a record which no table picks of it."""


class _Files:
    """The files of some tables, each once, with all the rows that are of it."""

    def __init__(self, contents: Contents, tables: Sequence[str], shard: str) -> None:
        self._contents = contents
        self._tables = tables
        parts = [contents.table(table).select(["step", "sha256"]) for table in tables]
        self._table = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
        self._row = np.concatenate([np.arange(part.num_rows) for part in parts])
        rows = pa.concat_tables(parts)
        sha256, step = _codes(rows["sha256"]), _codes(rows["step"])
        chosen = np.flatnonzero(pc.starts_with(rows["sha256"], shard).to_numpy())
        if not len(chosen):
            raise ConfigError(f"--shard {shard}: no shard of the manifest has such a sha256")
        order = chosen[np.lexsort((sha256[chosen], step[chosen]))]
        self._order = order
        other = np.diff(sha256[order]).astype(bool) | np.diff(step[order]).astype(bool)
        self._starts = np.concatenate([[0], np.flatnonzero(other) + 1, [len(order)]])
        self.steps: list[int] = step[order[self._starts[:-1]]].tolist()
        """Of each file a number for its step."""

    def __len__(self) -> int:
        return len(self.steps)

    def rows(self, file: int) -> Iterator[tuple[str, int, ShardRow]]:
        """The tables that have a file, the row in each, and what it says."""
        start, stop = self._starts[file : file + 2]
        for member in self._order[start:stop].tolist():
            table, row = self._tables[self._table[member]], int(self._row[member])
            yield table, row, self._contents.row(table, row)

    def scan(self, file: int, wanted: pa.Array) -> list[_Seen]:
        """The wanted records in a file."""
        _, _, shard = next(self.rows(file))
        table = read_columns(self._contents.manifest.store, shard, ("id", "tokens"))
        rows = np.flatnonzero(pc.is_in(table["id"], wanted).to_numpy())
        found = table.take(pa.array(rows))
        columns = (found["id"].to_pylist(), rows.tolist(), found["tokens"].to_pylist())
        return [_Seen(*one) for one in zip(*columns, strict=True)]


def find_records(
    contents: Contents, ids: Iterable[str], shard: str = "", progress: Progress | None = None
) -> Found:
    """Look for records in all tables of a manifest, those of earlier segments included.

    `shard` narrows the search to files whose sha256 starts so.

    Raises:
        ConfigError: No file does.
        DataError: A file is broken.
    """
    wanted = sorted(set(ids))
    files = _Files(contents, list(tables_of(contents)), shard)
    hits: list[Hit] = []
    left_out: dict[str, str] = {}
    for file, found in _scanned(files, wanted, progress):
        picked = list(_hits(files, file, found))
        hits += picked
        there = {hit.id for hit in picked}
        _, _, row = next(files.rows(file))
        left_out |= {name: f"{row.step}/{row.sha256}" for name, *_ in found if name not in there}
    for hit in hits:
        left_out.pop(hit.id, None)
    hits.sort(key=lambda hit: (hit.table, hit.shard, hit.row))
    return Found(hits=tuple(hits), left_out=left_out)


def tables_of(contents: Contents) -> dict[str, set[str]]:
    """All tables of a manifest, by digest; the leaves that have them, now or in some segment."""
    root = contents.manifest.root
    found: dict[str, set[str]] = {leaf.table.digest: set() for leaf in root.leaves}
    for leaf in root.leaves:
        found[leaf.table.digest].add(leaf.name)
    supplies = (s for phase in root.phases for segment in phase.segments for s in segment.supplies)
    for supply in supplies:
        bodies = [supply.body, *([supply.head.body] if supply.head else [])]
        for body in bodies:
            found.setdefault(body.table, set()).add(supply.leaf)
    return found


def _scanned(
    files: _Files, wanted: Sequence[str], progress: Progress | None
) -> Iterator[tuple[int, list[_Seen]]]:
    """Files that hold a wanted record, with the ids and rows."""
    values = pa.array(wanted, pa.string())
    missing = {step: set(wanted) for step in set(files.steps)}

    def scan(file: int) -> list[_Seen]:
        return files.scan(file, values)

    for start in range(0, len(files), _LOT):
        stop = min(start + _LOT, len(files))
        lot = [file for file in range(start, stop) if missing[files.steps[file]]]
        for file, found in zip(lot, over_files(scan, lot), strict=True):
            if found:
                missing[files.steps[file]] -= {one.id for one in found}
                yield file, found
        if progress:
            progress(stop, len(files))


def _hits(files: _Files, file: int, found: Sequence[_Seen]) -> Iterator[Hit]:
    for table, number, shard in files.rows(file):
        mask = shard.mask
        before: Ints = np.cumsum(mask) - mask
        for one in found:
            if mask[one.row]:
                yield Hit(
                    id=one.id,
                    table=table,
                    shard=number,
                    document=int(before[one.row]),
                    row=one.row,
                    tokens=one.tokens,
                )


def _codes(column: pa.ChunkedArray) -> Ints:
    """A number for each value, the same for equal ones."""
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
