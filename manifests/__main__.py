"""`python -m manifests` and the console script `manifest`."""

import os
import sys
from importlib.abc import MetaPathFinder
from typing import NoReturn

from manifests.cli import cli
from manifests.exits import run


class _NoPandas(MetaPathFinder):
    """Keeps pandas out of this process, where no command has a use for it.

    Arrow imports it, if it is there, at the first NumPy array: a quarter of a second and 50 MB.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is kept out of this process", name=name)


def main() -> NoReturn:
    """Run the command line of this process."""
    # Arrow's own allocator keeps what it is given back and is slower on fresh pages: a build of
    # 10^5 shards took a quarter more memory and time.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # NumPy's linear algebra starts a thread a core when it is imported, and none of it is used.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.meta_path.insert(0, _NoPandas())
    run(cli)


if __name__ == "__main__":
    main()
