"""`python -m pipelines`."""

from manifests.exits import run
from pipelines.cli import cli

if __name__ == "__main__":
    run(cli)
