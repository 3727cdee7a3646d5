"""The command line of the data contract: prove that committed data is whole, and index it.

pyarrow and the like are imported inside the commands, so that help comes at once.
"""

import json
import sys
from dataclasses import asdict

import click

from manifests.exits import FAILED

_ROOT = click.option(
    "--root", required=True, metavar="URL", help="Where the data lies: a path or an fsspec URL."
)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(name="manifest")
def cli() -> None:
    """Prove that committed data is whole, and index it."""


@cli.command()
@click.argument("step")
@_ROOT
@click.option("--complete", is_flag=True, help="A slice that has not committed is a finding.")
@click.option("--inputs", is_flag=True, help="Also verify the steps that STEP read, and so on.")
@_AS_JSON
def verify(step: str, root: str, complete: bool, inputs: bool, as_json: bool) -> None:
    """Prove from the files alone that STEP lost, doubled and changed nothing.

    STEP is an address, NAME@VERSION/FINGERPRINT; the fingerprint may be cut short. Every object
    that a commit names is read. A finding is one line: what is lost, there twice, corrupt, or not
    as the ledger says. Exit status 0: no finding, 1: some, 2: no such step.
    """
    from manifests.raw_files import RawFiles
    from manifests.verify import Verifier

    files = RawFiles(root)
    verifier, start = Verifier(files), files.resolve(step)
    progress = _show_progress if sys.stderr.isatty() else None
    if inputs:
        reports = list(verifier.verify_all(start, complete=complete, progress=progress))
    else:
        reports = [verifier.verify(start, complete=complete, progress=progress)]
    found = any(report.findings for report in reports)
    if as_json:
        steps = [asdict(report) | {"complete": report.complete} for report in reports]
        click.echo(json.dumps({"ok": not found, "steps": steps}))
    else:
        click.echo("\n".join(line for report in reports for line in report.lines()))
    sys.exit(FAILED if found else 0)


@cli.command()
@click.argument("step")
@_ROOT
@_AS_JSON
def index(step: str, root: str, as_json: bool) -> None:
    """Write the index of STEP: one row a commit, with its ledger and stats.

    STEP as for `verify`. An index that is there already is replaced.
    """
    from manifests.index import build_index
    from manifests.layout import index_file
    from manifests.raw_files import RawFiles
    from manifests.store import open_store

    address = RawFiles(root).resolve(step)
    commits = build_index(open_store(root), address)
    if as_json:
        said = {"step": address, "commits": commits, "index": index_file(address)}
        click.echo(json.dumps(said))
    else:
        click.echo(f"{index_file(address)}: {commits} commits")


def _show_progress(step: str, done: int, total: int) -> None:
    click.echo(f"\r{step}: {done} of {total} commits", nl=done == total, err=True)
