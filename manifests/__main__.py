"""`python -m manifests` and the console script `manifest`."""

from typing import NoReturn

from manifests.cli import cli
from manifests.exits import run


def main() -> NoReturn:
    """Run the command line of this process."""
    run(cli)


if __name__ == "__main__":
    main()
