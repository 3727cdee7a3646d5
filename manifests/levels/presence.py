"""L1: every data file that a table names is in the store, with its size."""

from functools import partial

from manifests.errors import NotInStore
from manifests.levels.files import DataFile, data_files
from manifests.levels.findings import Kind, LevelReport, Progress
from manifests.levels.metadata import Material
from manifests.levels.reading import at_once
from manifests.store import Store

_LOT = 256
"""Files that one task of a thread looks at: a stat takes less time than a task's start."""


def check_presence(
    material: Material, report: LevelReport, progress: Progress | None = None
) -> None:
    """One look a file, whatever its size."""
    files = data_files(material)
    lots = [files[first : first + _LOT] for first in range(0, len(files), _LOT)]
    told = partial(_tell, progress, len(files)) if progress else None
    for problems in at_once(partial(_look, material.store), lots, told):
        for kind, where, what in problems:
            report.found(kind, where, what)
    report.count("data files", len(files))
    report.count("bytes", sum(file.bytes for file in files))


def _look(store: Store, files: list[DataFile]) -> list[tuple[Kind, str, str]]:
    found = []
    for file in files:
        try:
            size = store.info(file.key).bytes
        except NotInStore:
            found.append((Kind.MISSING, file.key, "is not there"))
            continue
        if size != file.bytes:
            what = f"has {size:,} bytes, not {file.bytes:,}"
            found.append((Kind.CORRUPT, file.key, what))
    return found


def _tell(progress: Progress, total: int, lots: int, _: int) -> None:
    progress("data files looked for", min(total, lots * _LOT), total)
