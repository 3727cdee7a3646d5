"""L1: every data file that a table names, and every token file of these, is there with its size."""

from collections.abc import Sequence
from functools import partial

from manifests.errors import NotInStore
from manifests.levels.files import DataFile, data_files
from manifests.levels.findings import Kind, LevelReport, Progress
from manifests.levels.metadata import Material
from manifests.levels.reading import at_once
from manifests.levels.token_files import TokenFile, token_files
from manifests.store import Store

_LOT = 256
"""Files that one task of a thread looks at: a stat takes less time than a task's start."""


def check_presence(
    material: Material, report: LevelReport, progress: Progress | None = None
) -> None:
    """One look a file, whatever its size."""
    data = data_files(material)
    tokens = token_files(material)
    files: list[DataFile | TokenFile] = [*data, *tokens]
    lots = [files[first : first + _LOT] for first in range(0, len(files), _LOT)]
    told = partial(_tell, progress, len(files)) if progress else None
    for problems in at_once(partial(_look, material.store), lots, told):
        for kind, where, what in problems:
            report.found(kind, where, what)
    report.count("data files", len(data))
    if tokens:
        report.count("token files", len(tokens))
    report.count("bytes", sum(file.bytes for file in files))


def _look(store: Store, files: Sequence[DataFile | TokenFile]) -> list[tuple[Kind, str, str]]:
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
    progress("files looked for", min(total, lots * _LOT), total)
