"""Where set-up keeps what it builds, so that clones with equal locks share it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """`$SCRIPTORIUM_CACHE`, else `~/.cache/scriptorium`."""
    given = os.environ.get("SCRIPTORIUM_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "scriptorium"


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the machine-wide lock of this name: two set-ups at once build one thing once."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
