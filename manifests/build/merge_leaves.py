"""The data of two manifests that both come from a third, leaf by leaf, under the merged spec."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.build.build import kept_ids
from manifests.build.merge_rows import MergedRows, merge_rows
from manifests.build.three_way import Difference, Prefer
from manifests.documents import ShardRow
from manifests.objects.manifest import Manifest
from manifests.objects.ranges import SHARD_ROWS
from manifests.resolve.types import source_of
from manifests.select.selection import SelectedLeaf
from manifests.select.takedowns import take_down
from manifests.spec.types import Mixture
from manifests.store import Store

_SHOWN = 12
"""Digits of a sha256 in a message."""


class Side:
    """One of the three manifests."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.mixture = manifest.mixture
        self.ids = frozenset(kept_ids(manifest.objects, manifest.root))
        # A source that a change removes has no leaf any more, and was trained on before it.
        drawn = (
            supply
            for phase in manifest.root.phases
            for s in phase.segments
            for supply in s.supplies
        )
        self.tables = {supply.leaf: supply.body.table for supply in drawn}
        self.clean = {leaf.name for leaf in manifest.root.leaves}
        """Leaves from which all `ids` are out."""
        self.tables |= {leaf.name: leaf.table.digest for leaf in manifest.root.leaves}

    def rows(self, leaf: str) -> pa.Table:
        """The shard rows of a leaf; none when there is no such."""
        table = self.tables.get(leaf)
        return self._manifest.rows(table) if table else SHARD_ROWS.empty_table()

    def selects(self, source: str) -> object:
        """How a source chooses among the records of its shards; None when there is no such."""
        for found in self.mixture.sources:
            if found.name == source:
                return found.where, found.without, found.strata
        return None

    def steps(self, source: str) -> object:
        """From which steps a source takes shards."""
        return [found.steps for found in self.mixture.sources if found.name == source]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLeaves:
    """What the merged mixture is resolved over."""

    leaves: tuple[SelectedLeaf, ...]
    removed: tuple[str, ...]
    """Ids that either side has taken down, sorted."""
    conflicts: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafMerge:
    """Three manifests, and what their leaves become under a mixture."""

    store: Store
    mixture: Mixture
    base: Side
    ours: Side
    theirs: Side
    keep_removed: bool
    prefer: Prefer
    conflicts: list[Difference] = field(default_factory=list)

    def merged(self) -> MergedLeaves:
        """All leaves of the mixture's sources.

        Raises:
            DataError: A shard that has to be read is broken.
        """
        gone = {removal.source for removal in self.mixture.remove}
        sources = [one.name for one in self.mixture.sources if one.name not in gone]
        found = dict(pair for source in sources for pair in self._of_source(source))
        names = sorted(found)
        tables = self._without_removed([found[name] for name in names])
        leaves = tuple(
            SelectedLeaf(
                name=name, source=source_of(name), stratum=name.partition("/")[2], rows=rows
            )
            for name, rows in zip(names, tables, strict=True)
            if rows.num_rows
        )
        removed = tuple(sorted(self.ours.ids | self.theirs.ids))
        return MergedLeaves(leaves=leaves, removed=removed, conflicts=tuple(self.conflicts))

    def _of_source(self, source: str) -> Iterator[tuple[str, MergedRows]]:
        sides = (self.base, self.ours, self.theirs)
        names = sorted({n for side in sides for n in side.tables if source_of(n) == source})
        wholly = self._taken_wholly(source, names)
        for name in names:
            if wholly is not None:
                yield name, self._flagged(wholly, name)
            else:
                merged = merge_rows(
                    self.store,
                    *(side.rows(name) for side in sides),
                    keep_removed=self.keep_removed,
                    prefer=self.prefer,
                )
                self._note(name, merged.conflicts)
                yield name, self._where_clean(merged, name)

    def _taken_wholly(self, source: str, names: Sequence[str]) -> Side | None:
        """The side whose rows are taken as they are, because the other one chose otherwise among
        its records; None: row by row.
        """
        chosen = next(
            (found.where, found.without, found.strata)
            for found in self.mixture.sources
            if found.name == source
        )
        if self.ours.selects(source) == chosen == self.theirs.selects(source):
            return None
        for side, other in ((self.ours, self.theirs), (self.theirs, self.ours)):
            if side.selects(source) == chosen and self._only_taken_down(other, source, names):
                return side
        self.conflicts.append(
            Difference(
                what=f"sources.{source}: which records, and which shards",
                base="",
                ours=self._said(self.ours, source),
                theirs=self._said(self.theirs, source),
            )
        )
        return self.theirs if self.prefer is Prefer.THEIRS else self.ours

    def _said(self, side: Side, source: str) -> str:
        same = side.selects(source) == self.base.selects(source)
        return "other shards, chosen from as before" if same else "chosen from otherwise"

    def _only_taken_down(self, side: Side, source: str, names: Sequence[str]) -> bool:
        """Whether a side did nothing to a source since the base but take records down."""
        if side.selects(source) != self.base.selects(source):
            return False
        if side.steps(source) != self.base.steps(source):
            return False
        return all(_is_part(side.rows(name), self.base.rows(name)) for name in names)

    def _flagged(self, side: Side, name: str) -> MergedRows:
        rows = side.rows(name)
        all_of_them = np.full(rows.num_rows, name in side.clean)
        none = np.zeros(rows.num_rows, dtype=np.bool_)
        ours, theirs = (all_of_them, none) if side is self.ours else (none, all_of_them)
        return MergedRows(rows=rows, from_ours=ours, from_theirs=theirs, conflicts=())

    def _where_clean(self, merged: MergedRows, name: str) -> MergedRows:
        return replace(
            merged,
            from_ours=merged.from_ours & (name in self.ours.clean),
            from_theirs=merged.from_theirs & (name in self.theirs.clean),
        )

    def _note(self, leaf: str, keys: Sequence[str]) -> None:
        if not keys:
            return
        shas = [_shas(side.rows(leaf)) for side in (self.base, self.ours, self.theirs)]
        for key in keys:
            base, ours, theirs = (found.get(key, "")[:_SHOWN] for found in shas)
            what = f"shard {key} of {leaf}"
            self.conflicts.append(Difference(what=what, base=base, ours=ours, theirs=theirs))

    def _without_removed(self, merged: Sequence[MergedRows]) -> list[pa.Table]:
        """The rows without what either side took down, where it is not out already."""
        parts: list[list[pa.Table]] = [[] for _ in merged]
        for ours in (False, True):
            for theirs in (False, True):
                ids = (self.ours.ids | self.theirs.ids) - (self.ours.ids if ours else frozenset())
                ids -= self.theirs.ids if theirs else frozenset()
                chosen = [
                    one.rows.filter(pa.array((one.from_ours == ours) & (one.from_theirs == theirs)))
                    for one in merged
                ]
                left = take_down(self.store, chosen, sorted(ids)).tables
                for part, rows in zip(parts, left, strict=True):
                    part.append(rows)
        return [_by_key(tables) for tables in parts]


def _by_key(tables: Sequence[pa.Table]) -> pa.Table:
    rows = pa.concat_tables(tables).combine_chunks()
    return rows.take(pc.sort_indices(rows["key"])).combine_chunks()


def _shas(rows: pa.Table) -> Mapping[str, str]:
    return dict(zip(rows["key"].to_pylist(), rows["sha256"].to_pylist(), strict=True))


def _is_part(rows: pa.Table, whole: pa.Table) -> bool:
    """Whether every record of these rows is one of those."""
    at = pc.index_in(rows["key"], value_set=pc.unique(whole["key"]))
    before = whole.take(at)
    same_files = pc.fill_null(pc.equal(rows["sha256"], before["sha256"]), False)
    if not pc.all(same_files, min_count=0).as_py():
        return False
    changed = pc.not_equal(rows["picked"], before["picked"])
    for number in np.flatnonzero(changed.to_numpy()).tolist():
        mine, theirs = ShardRow.of(rows, number).mask, ShardRow.of(before, number).mask
        if np.any(mine & ~theirs):
            return False
    return True
