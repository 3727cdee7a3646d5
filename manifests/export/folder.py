"""A new folder that appears whole, under its name, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import ConfigError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into beside `out`, which becomes `out` when nothing was raised.

    Raises:
        ConfigError: `out` is there and is not an empty folder, or nothing can be written there.
    """
    out = out.absolute()
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ConfigError(f"{out}: exists and is not an empty folder; give the name of a new one")
    made = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        made.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made there ({error.strerror}); give another") from None
    try:
        yield made
        os.replace(made, out)  # over an empty folder, too
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
