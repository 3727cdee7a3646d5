"""What a mixture comes to, by all that is known of its records; and how two differ."""

import sys
from typing import TYPE_CHECKING

import click

from manifests.cli.options import complete_ref, echo_json, json_option, ref_argument, root_option
from manifests.exits import FAILED

if TYPE_CHECKING:
    from manifests.objects.manifest import Manifest

BY = ("source", "leaf", "generator", "teacher", "step", "licence", "language", "bucket", "origin")
_SHOWN = 10


@click.command()
@ref_argument
@root_option
@click.option("--phase", metavar="P", help="This phase only.")
@click.option(
    "--by",
    type=click.Choice(BY),
    multiple=True,
    help="What tokens are told apart by; several give a table each. (source)",
)
@json_option
def explain(ref: str, root: str, phase: str | None, by: tuple[str, ...], as_json: bool) -> None:
    """Tell what the tokens are that the manifest REF trains on.

    Shares, tokens and epochs by source (or leaf: a stratum of one), generator, teacher, step,
    licence, language, bucket, or origin (the source of the seeds). They are exact for whole
    epochs, and what is to be expected of a part of one. `so far` counts the phases that a phase
    goes on from as well.
    """
    from manifests.cli.draw_compare import explain_text
    from manifests.locate.contents import phase_of
    from manifests.views.explain import By, explain
    from manifests.views.manifest import plain

    manifest = _open(root, ref)
    names = [one.name for one in manifest.root.phases]
    if phase is not None:
        names = [phase_of(manifest, phase).name]
    found = explain(manifest, names, [By(one) for one in dict.fromkeys(by)] or [By.SOURCE])
    if as_json:
        echo_json({"digest": manifest.digest, "phases": plain(found)})
    else:
        click.echo("\n".join(explain_text(found)))


@click.command()
@click.argument("old", metavar="A", shell_complete=complete_ref)
@click.argument("new", metavar="B", shell_complete=complete_ref)
@root_option
@json_option
def diff(old: str, new: str, root: str, as_json: bool) -> None:
    """Tell what the manifest B has otherwise than A.

    That is the spec, value by value; the shards of each source; by generator and licence, what
    came and went with them; and phase by phase the samples, shares and epochs that are others, and
    the first position that trains on something else. Exit status 0: A and B are the same manifest,
    1: they are not.
    """
    from manifests.cli.draw_compare import diff_text
    from manifests.cli.text import progress
    from manifests.views.diff import diff
    from manifests.views.manifest import plain

    shown = progress()
    told = (lambda done, total: shown("positions", done, total)) if shown else None
    found = diff(_open(root, old), _open(root, new), None if as_json else _SHOWN, told)
    if as_json:
        echo_json({"equal": found.equal, **_fields(plain(found))})
    else:
        click.echo("\n".join(diff_text(found, old, new)))
    sys.exit(0 if found.equal else FAILED)


def _fields(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _open(root: str, ref: str) -> "Manifest":
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    store = open_store(root)
    return Manifest(store, Refs(store).resolve(ref).digest)
