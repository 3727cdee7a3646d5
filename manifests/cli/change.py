"""Manifests that go on otherwise, and two of them as one."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, program, ref_argument, root_option

if TYPE_CHECKING:
    from manifests.cli.building import Planned
    from manifests.objects.log import Version
    from manifests.store import Store

_YES = click.option("--yes", is_flag=True, help="Write it; without it nothing is changed.")
_MESSAGE = click.option(
    "--message", "-m", default="", metavar="TEXT", help="Why, for the log of the name."
)


@click.command()
@ref_argument
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))
@root_option
@click.option("--phase", required=True, metavar="P", help="The phase that is being trained.")
@click.option(
    "--at-step",
    "step",
    type=click.IntRange(min=0),
    required=True,
    metavar="S",
    help="Its first step that may differ.",
)
@_YES
@_MESSAGE
@json_option
def rebase(
    ref: str, spec: Path, root: str, phase: str, step: int, yes: bool, message: str, as_json: bool
) -> None:
    """Let the running manifest REF go on under SPEC from a step of a phase.

    Everything before that step stays as it was, sample for sample; from it on SPEC holds, over what
    is committed now, and what SPEC removes is in no sample any more. Tells for each source what of
    the epoch that has begun is consumed, goes on, is skipped, is repeated and is lost (nothing),
    in tokens. With --yes it becomes the newest version of its name.
    """
    from manifests.build.rebase import Point
    from manifests.cli.changing import plan_rebase
    from manifests.cli.draw_change import rebase_text
    from manifests.cli.text import progress
    from manifests.store import open_store
    from manifests.views.manifest import plain

    store = open_store(root)
    made = plan_rebase(store, ref, spec, Point(phase=phase, step=step), progress())
    written = _written(store, made.planned, message) if yes and not made.view.unchanged else None
    if as_json:
        echo_json(_said(made.planned, written) | {"account": plain(made.view)})
        return
    click.echo("\n".join(rebase_text(ref, made.view)))
    if not made.view.unchanged:
        _end(made.planned, written, root)


def _written(store: "Store", planned: "Planned", message: str) -> "Version":
    """Publish a plan, unless its name points at something else by now."""
    from manifests.cli.building import publish_plan

    return publish_plan(store, planned, message, planned.newest.number if planned.newest else 0)


def _said(planned: "Planned", written: "Version | None") -> dict[str, object]:
    return {
        "digest": planned.digest,
        "parents": list(planned.root.parents),
        "written": f"{written.name}@{written.number}" if written else None,
    }


def _end(planned: "Planned", written: "Version | None", root: str) -> None:
    if written is None:
        number = (planned.newest.number if planned.newest else 0) + 1
        click.echo(
            f"\nnothing written; --yes makes it {planned.mixture.name}@{number},"
            f" sha256:{planned.digest[:12]}"
        )
        return
    made = f"{written.name}@{written.number}"
    click.echo(f"\n{made} sha256:{planned.digest}")
    click.echo(f"look at it  {program()} show {shlex.join([made, '--root', root])}")
