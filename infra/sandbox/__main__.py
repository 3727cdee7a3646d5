"""`python -m infra.sandbox`: does the sandbox work here, and what does a program do in it?"""

import asyncio
import sys
from pathlib import Path

import click

from infra.sandbox.bubblewrap import Sandbox, available
from manifests.errors import ScriptoriumError
from manifests.programs import ExecutionStatus, Program


@click.group()
def main() -> None:
    """Run model-written Python where it can do no harm."""


@main.command()
def check() -> None:
    """Say whether the sandbox works on this machine (exit status 1 if not)."""
    reason = available()
    click.echo(reason or "sandbox: works here")
    sys.exit(0 if reason is None else 1)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def run(file: Path) -> None:
    """Run the Python FILE in the sandbox, with no input."""
    try:
        done = asyncio.run(Sandbox()(Program(source=file.read_text("utf-8"))))
    except ScriptoriumError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(done.stdout, nl=False)
    click.echo(done.stderr, nl=False, err=True)
    click.echo(f"{done.status.value} (exit code {done.exit_code})", err=True)
    sys.exit(0 if done.status is ExecutionStatus.OK else 1)


if __name__ == "__main__":
    main()
