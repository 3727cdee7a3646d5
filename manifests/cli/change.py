"""Manifests that go on otherwise, and two of them as one."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import (
    complete_ref,
    echo_json,
    json_option,
    program,
    ref_argument,
    root_option,
)

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


@click.command()
@click.argument("ours", shell_complete=complete_ref)
@click.argument("theirs", shell_complete=complete_ref)
@root_option
@click.option("--base", metavar="REF", help="What both go back to. [their nearest common ancestor]")
@click.option("--name", metavar="N", help="The name of the result. [that of OURS]")
@click.option(
    "--prefer", type=click.Choice(["ours", "theirs"]), help="Who is right where they contradict."
)
@click.option(
    "--keep-removed", is_flag=True, help="Keep shards that one took out and the other changed."
)
@click.option("--phase", metavar="P", help="With --at-step: OURS goes on under the merge.")
@click.option("--at-step", "step", type=click.IntRange(min=0), metavar="S", help="As in `rebase`.")
@_YES
@_MESSAGE
@json_option
def merge(
    ours: str,
    theirs: str,
    root: str,
    base: str | None,
    name: str | None,
    prefer: str | None,
    keep_removed: bool,
    phase: str | None,
    step: int | None,
    yes: bool,
    message: str,
    as_json: bool,
) -> None:
    """Make the manifests OURS and THEIRS one, with what each changed since they were one.

    Specs are compared value by value, data shard by shard; what either has taken down stays out.
    The result is resolved anew, all phases from their first step; with --phase and --at-step it is
    OURS that goes on under it. With --yes it becomes the newest version of its name. Exit status 1:
    both changed one thing differently; every such thing is listed.
    """
    from manifests.build.merge import How
    from manifests.build.rebase import Point
    from manifests.build.three_way import Prefer
    from manifests.cli.changing import plan_merge, three_of
    from manifests.cli.draw_change import conflicts_text, merge_text
    from manifests.errors import ConfigError
    from manifests.exits import FAILED
    from manifests.store import open_store
    from manifests.views.manifest import plain

    if (phase is None) != (step is None):
        raise ConfigError("--phase and --at-step say together where OURS goes on; give both")
    store = open_store(root)
    three = three_of(store, ours, theirs, base)
    how = How(
        name=name or three.ours.root.name,
        keep_removed=keep_removed,
        prefer=Prefer(prefer or ""),
        at=None if phase is None or step is None else Point(phase=phase, step=step),
    )
    made = plan_merge(store, three, how)
    if isinstance(made, tuple):
        if as_json:
            echo_json({"conflicts": plain(made)})
        else:
            click.echo("\n".join(conflicts_text(made, decided="")))
        raise click.exceptions.Exit(FAILED)
    written = _written(store, made.planned, message) if yes else None
    if as_json:
        said = {"conflicts": plain(made.conflicts), "merge": plain(made.view)}
        manifest = {"manifest": plain(made.planned.view), "account": plain(made.account)}
        echo_json(_said(made.planned, written) | said | manifest)
        return
    click.echo("\n".join(merge_text(made.view, made.account, ours, theirs)))
    if made.conflicts:
        click.echo("\n".join(conflicts_text(made.conflicts, decided=prefer or "")))
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
    if written is None and planned.unchanged and planned.newest:
        click.echo(f"\n{planned.newest.name}@{planned.newest.number} is that already")
        return
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
