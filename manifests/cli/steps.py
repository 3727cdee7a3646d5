"""Committed steps: what there is, and the proof that it is whole."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, root_option
from manifests.cli.text import progress, short, table
from manifests.exits import FAILED

if TYPE_CHECKING:
    from manifests.views.steps import StepLine


@click.group()
def step() -> None:
    """List, verify and index the steps that runs have committed."""


@step.command("list")
@root_option
@json_option
def list_steps(root: str, as_json: bool) -> None:
    """Tell what there is to write a mixture of.

    Each step with how many of its slices have committed, its type of rows, rows and tokens by
    bucket, and the tokenizer that counted them.
    """
    from manifests.raw_files import RawFiles
    from manifests.views.steps import step_lines

    lines = step_lines(RawFiles(root))
    if as_json:
        echo_json({"steps": [asdict(line) | {"complete": line.complete} for line in lines]})
    else:
        click.echo("\n".join(_steps_text(lines, root)))


def _steps_text(lines: Sequence["StepLine"], root: str) -> list[str]:
    if not lines:
        return [f"no steps below {root}"]
    rows = [
        (
            line.short,
            line.row_type,
            f"{line.committed:,}/{'?' if line.slices is None else f'{line.slices:,}'}",
            "" if line.complete else "not complete",
            short(line.rows),
            short(line.tokens) if line.tokens else "",
            ", ".join(line.tokenizers) if line.tokens else "",
            ", ".join(f"{name} {short(v.tokens)}" for name, v in line.buckets.items()),
        )
        for line in lines
    ]
    head = ("step", "rows are", "slices", "", "rows", "tokens", "tokenizer", "tokens by bucket")
    return table(head, rows, left=(0, 1, 3, 6, 7))


@step.command()
@click.argument("step")
@root_option
@click.option("--complete", is_flag=True, help="A slice that has not committed is a finding.")
@click.option("--inputs", is_flag=True, help="Also verify the steps that STEP read, and so on.")
@json_option
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
    shown = progress()
    if inputs:
        reports = list(verifier.verify_all(start, complete=complete, progress=shown))
    else:
        reports = [verifier.verify(start, complete=complete, progress=shown)]
    found = any(report.findings for report in reports)
    if as_json:
        steps = [asdict(report) | {"complete": report.complete} for report in reports]
        echo_json({"ok": not found, "steps": steps})
    else:
        click.echo("\n".join(line for report in reports for line in report.lines()))
    sys.exit(FAILED if found else 0)


@step.command()
@click.argument("step")
@root_option
@json_option
def index(step: str, root: str, as_json: bool) -> None:
    """Write the index of STEP: one row a commit, with its ledger and stats.

    STEP as for `step verify`. An index that is there already is replaced.
    """
    from manifests.index import build_index
    from manifests.layout import index_file
    from manifests.raw_files import RawFiles
    from manifests.store import open_store

    address = RawFiles(root).resolve(step)
    commits = build_index(open_store(root), address)
    if as_json:
        echo_json({"step": address, "commits": commits, "index": index_file(address)})
    else:
        click.echo(f"{index_file(address)}: {commits} commits")
