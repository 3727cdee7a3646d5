"""Rows of a step, each with the rows it was made from: a record's seed, a seed's document.

A shard names each row's input row (`item_id`), and a commit names its input shards, so the way back
is read from the slice that the row lies in and nothing is searched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests import layout
from manifests.commits import Commit, read_commit, task_id
from manifests.errors import DataError
from manifests.records import Record, Reject, Seed, SeedDocument
from manifests.shards import read_shard
from manifests.store import Store
from manifests.tables import ITEM_ID, ROW_TYPES, from_table
from manifests.token_rows import TokenDocument

Row = SeedDocument | Seed | Record | Reject | TokenDocument


@dataclass(frozen=True, slots=True)
class Placed:
    """A row and the commit that it lies in."""

    row: Row
    commit: Commit
    item_id: str
    """The `id` of the row's input row."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row with its ancestors, the nearest first, each once."""

    placed: Placed
    ancestors: tuple[Placed, ...]

    def ancestor(self, row_type: type[Row]) -> Any:
        """The nearest ancestor of this type; None if there is none."""
        rows = (placed.row for placed in self.ancestors)
        return next((row for row in rows if isinstance(row, row_type)), None)

    @property
    def making(self) -> tuple[Placed, Placed] | None:
        """What a method made, the row itself or an ancestor, and what it made it from.

        None where no method had a part: documents, and documents that are records as they stand.
        """
        line = (self.placed, *self.ancestors)
        for made, source in pairwise(line):
            is_source = isinstance(source.row, Seed | SeedDocument)
            # Methods make seeds of documents; a record is a document as it stands.
            organic = isinstance(source.row, SeedDocument) and isinstance(made.row, Record)
            if is_source and not organic and type(source.row) is not type(made.row):
                return made, source
        return None


def commits_in_order(store: Store, step: str, slices: int) -> Iterator[Commit]:
    """The commits of a step by slice, each read when it is asked for."""
    prefix = layout.commits_prefix(step)
    there = {key.removeprefix(prefix).removesuffix(".json") for key in store.list(prefix)}
    for number in range(slices):
        if (task := task_id(step, number)) in there:
            commit = read_commit(store, step, task)
            if commit is not None:
                yield commit


def find_rows(
    store: Store, commits: Iterator[Commit], limit: int, *, rejects: bool, row_id: str = ""
) -> list[Shown]:
    """The first rows (or rejects) of these commits; with `row_id`, those whose id begins so.

    A reject goes by the id of the item that it is about.
    """
    placed = (one for commit in commits for one in _rows(store, commit, limit, rejects, row_id))
    return [Shown(one, _ancestors(store, one)) for one in islice(placed, limit)]


def _rows(store: Store, commit: Commit, limit: int, rejects: bool, row_id: str) -> Iterator[Placed]:
    if rejects:
        key, shard = layout.rejects_file(commit.step, commit.rejects.sha256), commit.rejects
        name = ITEM_ID
    else:
        key, shard = layout.data_file(commit.step, commit.data.sha256), commit.data
        name = "id"
    table = read_shard(store, key, shard)
    if row_id:
        table = table.filter(pc.starts_with(table[name], row_id))
    row_type = Reject if rejects else ROW_TYPES[commit.row_type]
    yield from _placed(row_type, table.slice(0, limit), commit)


def _placed(row_type: type[Any], table: pa.Table, commit: Commit) -> Iterator[Placed]:
    rows: Sequence[Row] = from_table(row_type, table)
    for row, item_id in zip(rows, table[ITEM_ID].to_pylist(), strict=True):
        yield Placed(row, commit, item_id)


def _ancestors(store: Store, placed: Placed) -> tuple[Placed, ...]:
    found: list[Placed] = []
    while placed.commit.inputs:
        placed = _parent(store, placed)
        found.append(placed)
    return tuple(found)


def _parent(store: Store, placed: Placed) -> Placed:
    """The input row of a row.

    Raises:
        DataError: It is not where the commit says.
    """
    for shard in placed.commit.inputs:
        commit = read_commit(store, shard.step, shard.task)
        if commit is None:
            continue
        table = read_shard(store, layout.data_file(shard.step, commit.data.sha256), commit.data)
        same = table.filter(pc.equal(table["id"], placed.item_id))
        for row in _placed(ROW_TYPES[commit.row_type], same, commit):
            return row
    raise DataError(
        f"{placed.commit.step} slice {placed.commit.slice_index}: its input row {placed.item_id} is"
        " in none of its input shards; run `python -m manifests step verify` on the step"
    )
