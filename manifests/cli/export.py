"""Manifests in the formats of others."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option

if TYPE_CHECKING:
    from manifests.objects.manifest import Manifest

_OUT = click.argument("out", type=click.Path(path_type=Path))


@click.group()
def export() -> None:
    """Write a manifest's data for other programs."""


@export.command()
@ref_argument
@_OUT
@root_option
@click.option("--phase", metavar="P", help="Which phase; may be left out where there is one.")
@click.option(
    "--segment",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which part of a phase whose mix changes on the way, from 0.",
)
@click.option(
    "--seen-at",
    metavar="PATH",
    help="Where trainers will find OUT, for the paths in the arguments; default: where it is.",
)
@json_option
def megatron(
    ref: str,
    out: Path,
    root: str,
    phase: str | None,
    segment: int | None,
    seen_at: str | None,
    as_json: bool,
) -> None:
    """Write a phase of REF for Megatron into the new folder OUT.

    A `.bin` and `.idx` for each source, `blend.txt` for --data-args-path, and `args.txt` with the
    arguments that train the phase. The documents and their proportions are ours, the order is
    Megatron's own.
    """
    from manifests.errors import ConfigError
    from manifests.export.megatron import export_megatron

    manifest = _open(root, ref)
    phases = [one.name for one in manifest.root.phases]
    if phase is None and len(phases) > 1:
        raise ConfigError(f"{ref} has several phases; give --phase with one of {', '.join(phases)}")
    made = export_megatron(manifest, phase or phases[0], out, segment, seen_at)
    _told(manifest, "megatron", made, as_json=as_json)


@export.command()
@ref_argument
@_OUT
@root_option
@json_option
def hf(ref: str, out: Path, root: str, as_json: bool) -> None:
    """Write REF as a folder OUT that Hugging Face `datasets` loads.

    A configuration for each source, a card, a Croissant description, and the manifest's root.
    Shards that are selected whole are copied byte for byte.
    """
    from manifests.export.huggingface import export_huggingface

    manifest = _open(root, ref)
    _told(manifest, "hf", export_huggingface(manifest, out), as_json=as_json)


@export.command()
@ref_argument
@_OUT
@root_option
@json_option
def croissant(ref: str, out: Path, root: str, as_json: bool) -> None:
    """Describe REF in Croissant (JSON-LD), in the new file OUT.

    Nothing is copied: shards are described where they lie, each with its sha256. Under a local
    root OUT has to be in the root's folder or above it.
    """
    from manifests.export.croissant import export_croissant

    manifest = _open(root, ref)
    _told(manifest, "croissant", export_croissant(manifest, out), as_json=as_json)


def _open(root: str, ref: str) -> "Manifest":
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    store = open_store(root)
    return Manifest(store, Refs(store).resolve(ref).digest)


def _told(manifest: "Manifest", kind: str, made: Path, *, as_json: bool) -> None:
    if as_json:
        echo_json({"digest": manifest.digest, "format": kind, "out": str(made)})
    else:
        click.echo(f"{made} is sha256:{manifest.digest} for {kind}")
