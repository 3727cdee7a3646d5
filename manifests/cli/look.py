"""Manifests that are there: their names, and what is in one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from manifests.cli.options import (
    complete_name,
    echo_json,
    json_option,
    program,
    ref_argument,
    root_option,
)

if TYPE_CHECKING:
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs, Resolved
    from manifests.views.names import VersionLine


@click.command("list")
@click.argument("name", required=False, shell_complete=complete_name)
@root_option
@json_option
def list_manifests(name: str | None, root: str, as_json: bool) -> None:
    """List all names with their newest manifests, or all versions of NAME."""
    from manifests.objects.refs import Refs
    from manifests.store import open_store
    from manifests.views.manifest import plain
    from manifests.views.names import name_lines, version_lines

    refs = Refs(open_store(root))
    lines = version_lines(refs, name) if name else name_lines(refs)
    if as_json:
        echo_json({"manifests": plain(lines)})
    elif lines:
        click.echo("\n".join(_names_text(lines)))
    else:
        click.echo(f"no manifests below {root}; `{program()} build` makes one")


def _names_text(lines: Sequence["VersionLine"]) -> list[str]:
    from manifests.cli.text import table

    head = ("manifest", "digest", "at", "by", "tags", "message")
    rows = [
        (line.ref, line.digest[:12], line.at, line.author, ", ".join(line.tags), line.message)
        for line in lines
    ]
    return table(head, rows, left=range(len(head)))


@click.command()
@ref_argument
@root_option
@click.option("--phase", metavar="P", help="This phase only.")
@click.option("--spec", is_flag=True, help="The spec as it was written, and no more.")
@click.option("--log", is_flag=True, help="All versions of its name, and no more.")
@json_option
def show(ref: str, root: str, phase: str | None, spec: bool, log: bool, as_json: bool) -> None:
    """Show the manifest REF: its phases, and what each trains on.

    Columns and warnings are those of `plan`.
    """
    from manifests.errors import ConfigError
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store
    from manifests.views.manifest import plain
    from manifests.views.names import version_lines

    if sum((spec, log, phase is not None)) > 1:
        raise ConfigError("--phase, --spec and --log are three things to show; give one of them")
    store = open_store(root)
    refs = Refs(store)
    found = refs.resolve(ref)
    if log:
        if not found.name:
            raise ConfigError(f"{ref}: a digest has no log; give a name with --log")
        lines = version_lines(refs, found.name)
        if as_json:
            echo_json({"versions": plain(lines)})
        else:
            click.echo("\n".join(_names_text(lines)))
        return
    manifest = Manifest(store, found.digest)
    if spec:
        _print_spec(manifest, refs, found, as_json=as_json)
    else:
        _print_manifest(manifest, refs, found, phase, as_json=as_json)


def _print_spec(manifest: "Manifest", refs: "Refs", found: "Resolved", *, as_json: bool) -> None:
    """As it was written where a version says so, else in its canonical form."""
    import json

    from manifests.spec.canonical import to_plain

    name = found.name or manifest.root.name
    versions = [one for one in refs.log(name) if one.digest == found.digest and one.spec]
    if versions and (written := versions[-1].spec):
        text = manifest.objects.get(written).decode()
    else:
        text = json.dumps(to_plain(manifest.mixture), indent=2, ensure_ascii=False) + "\n"
    if as_json:
        echo_json({"digest": found.digest, "spec": text})
    else:
        click.echo(text, nl=False)


def _print_manifest(
    manifest: "Manifest", refs: "Refs", found: "Resolved", phase: str | None, *, as_json: bool
) -> None:
    from manifests.cli.draw import manifest_text
    from manifests.errors import ConfigError
    from manifests.views.manifest import manifest_view, plain
    from manifests.views.names import version_lines

    view = manifest_view(found.digest, manifest.root, manifest.mixture)
    if phase is not None and phase not in [one.name for one in view.phases]:
        there = ", ".join(one.name for one in view.phases)
        raise ConfigError(f"{view.name} has no phase {phase}; it has {there}")
    phases = [one for one in view.phases if phase in (None, one.name)]
    lines = version_lines(refs, found.name) if found.name else []
    versions = [line for line in lines if line.digest == found.digest]
    if as_json:
        said = {"digest": found.digest, "versions": plain(versions), "manifest": plain(view)}
        echo_json(said if phase is None else {"digest": found.digest, "phase": plain(phases[0])})
        return
    click.echo(f"sha256:{found.digest}")
    if versions:
        click.echo("\n".join(_names_text(versions)))
    click.echo("\n" + "\n".join(manifest_text(view, phases)))
