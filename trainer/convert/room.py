"""Room on the disk is looked for before gigabytes are written."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import StoreFull
from manifests.export.folder import new_folder


@contextmanager
def folder_with_room(out: Path, needed: int) -> Iterator[Path]:
    """As `new_folder`, for about `needed` bytes.

    Raises:
        ConfigError: `out` cannot be a new folder.
        StoreFull: There is no room for it; nothing is left.
    """
    with new_folder(out) as folder:
        if (free := shutil.disk_usage(folder).free) < needed:
            raise StoreFull(
                f"{out}: {needed / 1e9:,.1f} GB are to be written and {free / 1e9:,.1f} GB are"
                " free; make room, or write elsewhere"
            )
        try:
            yield folder
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise StoreFull(f"{out}: the disk became full; nothing is left of it") from error
