"""What the tables of a manifest say of each data file."""

from collections.abc import Iterable

from manifests.levels.contents import Claim
from manifests.levels.files import DataFile
from manifests.levels.metadata import Material
from manifests.levels.reading import Ints
from manifests.spec.types import Layout


class Claims:
    """The shard rows that name some files, made Python values when they are asked for."""

    def __init__(self, material: Material, files: Iterable[DataFile]) -> None:
        self._at: dict[DataFile, list[tuple[str, int]]] = {file: [] for file in files}
        self._leaves = {leaf.table.digest: leaf.name for leaf in material.root.leaves}
        self._windows = _windows(material)
        self._tables = {
            digest: material.rows(digest).combine_chunks() for digest in material.tables
        }
        for digest, table in self._tables.items():
            columns = (table[name].to_pylist() for name in ("step", "sha256", "bytes", "rows"))
            for number, file in enumerate(map(DataFile, *columns)):
                if file in self._at:
                    self._at[file].append((digest, number))

    def of(self, file: DataFile) -> list[tuple[Claim, bool]]:
        """What tables say of a file, and whether the table is a leaf's own, not an earlier one."""
        return [
            (self._claim(digest, number), digest in self._leaves)
            for digest, number in self._at[file]
        ]

    def _claim(self, digest: str, number: int) -> Claim:
        name = self._leaves.get(digest, f"the earlier table {digest[:12]}")
        windows = [(length, int(w[number])) for length, w in self._windows.get(digest, {}).items()]
        (row,) = self._tables[digest].slice(number, 1).to_pylist()
        return Claim(leaf=name, row=row, windows=tuple(windows))


def _windows(material: Material) -> dict[str, dict[int, Ints]]:
    """By table and sequence length: the samples of each shard, where they are kept."""
    found: dict[str, dict[int, Ints]] = {}
    for phase in material.root.phases:
        for supply in (supply for segment in phase.segments for supply in segment.supplies):
            for body in [supply.body, *([supply.head.body] if supply.head else [])]:
                windows, table = material.arrays.get(body.windows), material.tables.get(body.table)
                if body.layout is Layout.STREAM or windows is None or table is None:
                    continue
                if table.whole and len(windows) == len(table.sizes):
                    found.setdefault(body.table, {})[phase.sequence_length] = windows
    return found
