"""What the tables of a manifest say of each data file."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.levels.contents import Claim
from manifests.levels.files import DataFile
from manifests.levels.metadata import Material
from manifests.levels.packed import PACKING
from manifests.levels.reading import Ints
from manifests.spec.types import Layout


class _Row(NamedTuple):
    """A shard row: its number in the table, and among those that were taken of it."""

    table: str
    taken: int
    number: int


class Claims:
    """The shard rows that name some files, made Python values when they are asked for."""

    def __init__(self, material: Material, files: Iterable[DataFile]) -> None:
        self._at: dict[DataFile, list[_Row]] = {file: [] for file in files}
        self._leaves = {leaf.table.digest: leaf.name for leaf in material.root.leaves}
        self._windows = _windows(material)
        wanted = pa.array({file.sha256 for file in self._at}, pa.string())
        self._tables: dict[str, pa.Table] = {}
        for digest in material.tables if self._at else ():
            table = material.rows(digest)
            some = pc.is_in(table["sha256"], value_set=wanted)
            numbers = np.flatnonzero(some.to_numpy())
            self._tables[digest] = table = table.filter(some).combine_chunks()
            columns = (table[name].to_pylist() for name in ("step", "sha256", "bytes", "rows"))
            for at, file in enumerate(map(DataFile, *columns)):
                if file in self._at:
                    self._at[file].append(_Row(digest, at, int(numbers[at])))

    def of(self, file: DataFile) -> list[tuple[Claim, bool]]:
        """What tables say of a file, and whether the table is a leaf's own, not an earlier one."""
        return [(self._claim(row), row.table in self._leaves) for row in self._at[file]]

    def _claim(self, at: _Row) -> Claim:
        name = self._leaves.get(at.table, f"the earlier table {at.table[:12]}")
        kept = self._windows.get(at.table, {})
        (row,) = self._tables[at.table].slice(at.taken, 1).to_pylist()
        windows = tuple((*cut, int(samples[at.number])) for cut, samples in kept.items())
        return Claim(leaf=name, row=row, windows=windows)


def _windows(material: Material) -> dict[str, dict[tuple[Layout, int], Ints]]:
    """By table, layout and sequence length: the samples of each shard, where they are kept."""
    found: dict[str, dict[tuple[Layout, int], Ints]] = {}
    for phase in material.root.phases:
        for supply in (supply for segment in phase.segments for supply in segment.supplies):
            for body in [supply.body, *([supply.head.body] if supply.head else [])]:
                windows, table = material.arrays.get(body.windows), material.tables.get(body.table)
                if body.layout is Layout.STREAM or windows is None or table is None:
                    continue
                if body.packing not in ("", PACKING):
                    continue
                if table.whole and len(windows) == len(table.sizes):
                    cut = body.layout, phase.sequence_length
                    found.setdefault(body.table, {})[cut] = windows
    return found
