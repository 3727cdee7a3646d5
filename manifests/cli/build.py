"""From a spec to a plan, and from a spec to a manifest with a name."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, program, root_option

if TYPE_CHECKING:
    from manifests.cli.building import Planned

_SPEC = click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_SPEC
@root_option
@json_option
def plan(spec: Path, root: str, as_json: bool) -> None:
    """Tell what SPEC would be built into; write nothing.

    For each phase its sources: what they are asked for and what they get, in tokens and samples,
    their unique tokens and how often those are passed over, in this phase and in all so far. Then
    what to notice before training on it.
    """
    from manifests.cli.building import make_plan
    from manifests.cli.text import progress
    from manifests.store import open_store

    _print_plan(make_plan(open_store(root), spec, progress()), as_json=as_json)


@click.command()
@_SPEC
@root_option
@click.option("--message", "-m", default="", metavar="TEXT", help="Why, for the log of the name.")
@click.option(
    "--expect",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fail unless version N is the newest of its name; 0: there is none.",
)
@click.option("--dry-run", is_flag=True, help="As `plan`: write nothing.")
@json_option
def build(
    spec: Path, root: str, message: str, expect: int | None, dry_run: bool, as_json: bool
) -> None:
    """Build SPEC into a manifest, the newest of its name.

    The same spec over the same data gives the same digest; a name that points at it already stays
    as it is. Exit status 1: the name points at something else than expected.
    """
    from manifests.cli.building import make_plan, publish_plan
    from manifests.cli.text import progress
    from manifests.store import open_store

    store = open_store(root)
    planned = make_plan(store, spec, progress())
    if dry_run:
        _print_plan(planned, as_json=as_json)
        return
    version = publish_plan(store, planned, message, expect)
    ref = f"{version.name}@{version.number}"
    if as_json:
        said = {"ref": ref, "version": version.number, "unchanged": planned.unchanged}
        echo_json(said | _plan_json(planned))
        return
    click.echo(f"{ref} sha256:{planned.digest}")
    if planned.unchanged:
        click.echo("unchanged: it was the newest already")
        return
    from manifests.cli.draw import manifest_text

    click.echo("\n".join(manifest_text(planned.view, planned.view.phases)))
    click.echo(f"\nlook at it  {program()} show {shlex.join([ref, '--root', root])}")


def _print_plan(planned: "Planned", *, as_json: bool) -> None:
    newest = f"{planned.newest.name}@{planned.newest.number}" if planned.newest else ""
    if as_json:
        said = {"newest": newest or None, "unchanged": planned.unchanged}
        echo_json(said | _plan_json(planned))
        return
    from manifests.cli.draw import manifest_text

    click.echo("\n".join(manifest_text(planned.view, planned.view.phases)))
    told = (
        f"as {newest} has it" if planned.unchanged else f"{newest or 'nothing'} is the newest now"
    )
    click.echo(f"\nnothing written; it would be sha256:{planned.digest[:12]}, {told}")


def _plan_json(planned: "Planned") -> dict[str, object]:
    from manifests.views.manifest import plain

    return {"digest": planned.digest, "manifest": plain(planned.view)}
