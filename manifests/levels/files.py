"""The data files of a manifest, each once, and the sample of them that everyone draws."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from operator import attrgetter

import pyarrow as pa

from manifests.levels.metadata import Material

_COLUMNS = ["step", "sha256", "bytes", "rows"]


@dataclass(frozen=True, slots=True, order=True)
class DataFile:
    """A file as tables name it."""

    step: str
    sha256: str
    bytes: int
    rows: int

    @property
    def key(self) -> str:
        """Where it lies."""
        return f"{self.step}/data/{self.sha256}.parquet"


def data_files(material: Material, tables: Iterable[str] | None = None) -> list[DataFile]:
    """The files of all tables, or of these, by step and sha256.

    Tables that name one file with different numbers name different files here: one of them is a
    finding.
    """
    chosen = material.tables if tables is None else tables
    rows = [material.rows(table, _COLUMNS) for table in chosen]
    if not rows:
        return []
    every = pa.concat_tables(rows)
    distinct = every.group_by(_COLUMNS).aggregate([])
    columns = (distinct[name].to_pylist() for name in _COLUMNS)
    # By tuples: an order of dataclasses is ten times as slow.
    return sorted(map(DataFile, *columns), key=attrgetter(*_COLUMNS))


def drawn(files: list[DataFile], digest: str, sample: int | None) -> list[DataFile]:
    """So many of the files, the same for everyone who has the manifest's digest; None: all."""
    if sample is None or sample >= len(files):
        return files
    return sorted(nsmallest(sample, files, key=lambda file: _draw(digest, file.key)))


def _draw(digest: str, key: str) -> bytes:
    return hashlib.sha256(f"{digest} {key}".encode()).digest()
