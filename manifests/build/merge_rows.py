"""The shard rows of a leaf on two sides that both come from a third, as one table.

Shards are told apart by their keys. What one side added is in, what one took out is out, and where
both took different records out of one shard, both are out. Only where both put other bytes under
one key does nobody know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.build.three_way import Prefer
from manifests.documents import Mask, ShardRow, read_columns
from manifests.objects.ranges import SHARD_ROWS
from manifests.select.picking import FACTS, Part, over_files, part, with_parts
from manifests.store import Store
from manifests.windows import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedRows:
    """A leaf after a merge."""

    rows: pa.Table
    """Of the schema `SHARD_ROWS`, by key."""
    from_ours: Mask
    """Of each row, whether what ours took down is out of it, because it was ours."""
    from_theirs: Mask
    conflicts: tuple[str, ...]
    """Keys under which both sides have put other bytes; in `rows` only if somebody is preferred."""


def merge_rows(
    store: Store,
    base: pa.Table,
    ours: pa.Table,
    theirs: pa.Table,
    *,
    keep_removed: bool = False,
    prefer: Prefer = Prefer.NOBODY,
) -> MergedRows:
    """One table; `keep_removed` keeps shards that one side took out and the other one changed.

    Raises:
        DataError: A shard from which both sides took records is broken.
    """
    keys = pc.unique(pa.chunked_array([*ours["key"].chunks, *theirs["key"].chunks]))
    b, o, t = (_Side.of(table, keys) for table in (base, ours, theirs))
    same = o.same(t)
    ours_changed, theirs_changed = ~o.same(b), ~t.same(b)
    both = ~same & ours_changed & theirs_changed
    one_file = both & o.there & t.there & (o.sha == t.sha)
    clash = both & o.there & t.there & ~one_file
    lone = both & ~(o.there & t.there) & keep_removed
    by_ours, by_theirs = clash & (prefer is Prefer.OURS), clash & (prefer is Prefer.THEIRS)
    take_ours = o.there & (same | (ours_changed & ~theirs_changed) | lone | by_ours)
    take_theirs = t.there & ~same & ((~ours_changed & theirs_changed) | lone | by_theirs)
    picked = _picked_together(store, b, o, t, np.flatnonzero(one_file))
    tables = [o.rows(take_ours), t.rows(take_theirs), picked]
    sizes = [table.num_rows for table in tables]
    rows = pa.concat_tables(tables)
    order = np.asarray(pc.sort_indices(rows["key"]))
    return MergedRows(
        rows=rows.take(pa.array(order)).combine_chunks(),
        from_ours=_joined([_all(sizes[0]), same[take_theirs], _all(sizes[2])], order),
        from_theirs=_joined([same[take_ours], _all(sizes[1]), _all(sizes[2])], order),
        conflicts=tuple(keys.filter(pa.array(clash)).to_pylist()),
    )


def _all(count: int) -> Mask:
    return np.ones(count, dtype=np.bool_)


def _joined(flags: Sequence[Mask], order: Ints) -> Mask:
    return np.concatenate(flags)[order]


@dataclass(frozen=True, slots=True)
class _Side:
    """A table, looked at under some keys."""

    table: pa.Table
    at: Ints
    """Row of each key; -1 where it is not there."""
    sha: np.ndarray[tuple[int], np.dtype[np.object_]]
    picked: np.ndarray[tuple[int], np.dtype[np.object_]]

    @classmethod
    def of(cls, table: pa.Table, keys: pa.Array) -> "_Side":
        found = pc.index_in(keys, value_set=pc.unique(table["key"]))
        columns = [
            table[name].combine_chunks().take(found).to_numpy(zero_copy_only=False)
            for name in ("sha256", "picked")
        ]
        at = np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)
        return cls(table, at, columns[0], columns[1])

    @property
    def there(self) -> Mask:
        return self.at >= 0

    def same(self, other: "_Side") -> Mask:
        """Where both have the same, or both nothing."""
        equal = (self.sha == other.sha) & (self.picked == other.picked)
        return np.asarray(np.where(self.there & other.there, equal, self.there == other.there))

    def rows(self, chosen: Mask) -> pa.Table:
        return self.table.take(pa.array(self.at[chosen]))

    def shard(self, key: int) -> ShardRow:
        return ShardRow.of(self.table, int(self.at[key]))


def _picked_together(store: Store, b: _Side, o: _Side, t: _Side, at: Ints) -> pa.Table:
    """Rows of shards that both sides have, each without other records."""

    def read(number: int) -> Part | None:
        key = int(at[number])
        ours, theirs = o.shard(key), t.shard(key)
        if b.at[key] >= 0 and b.sha[key] == o.sha[key]:
            before = b.shard(key).mask
            mask = np.where(ours.mask == before, theirs.mask, ours.mask)
        else:
            mask = ours.mask & theirs.mask
        if not mask.any():
            return None
        found = part(number, read_columns(store, ours, FACTS), mask)
        return replace(found, facts={**found.facts, "picked": b""}) if mask.all() else found

    rows = o.table.take(pa.array(o.at[at]))
    parts = [found for found in over_files(read, range(len(at))) if found]
    if not parts:
        return SHARD_ROWS.empty_table()
    return with_parts(rows, np.zeros(0, dtype=np.int64), parts)
