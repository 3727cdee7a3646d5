"""A first spec to start from."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, program, root_option
from manifests.errors import ConfigError

if TYPE_CHECKING:
    from manifests.store import Store
    from manifests.views.usable import Usable


@click.command()
@click.argument("file", default="mixture.toml", type=click.Path(dir_okay=False, path_type=Path))
@root_option
@click.option(
    "--template", metavar="NAME", help="A shipped mixture instead, such as phi4_pretrain."
)
@json_option
def init(file: Path, root: str, template: str | None, as_json: bool) -> None:
    """Write a first spec to FILE (mixture.toml).

    It has a source for each bucket of the complete steps of records below the root, or of those
    that were tokenized, all under one tokenizer, and a phase that takes each once. It can be
    planned and built as it is, and edited.
    A file that is there already is left alone.
    """
    from manifests.raw_files import RawFiles
    from manifests.spec.read import parse_mixture
    from manifests.store import open_store
    from manifests.views.steps import step_lines
    from manifests.views.usable import usable

    if file.exists():
        raise ConfigError(f"{file} is there already; give another name, or move it away")
    found = usable(step_lines(RawFiles(root)))
    text = _text(file, root, template, found, open_store(root))
    mixture = parse_mixture(text, str(file))
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror})") from error
    following = f"{program()} plan {shlex.quote(str(file))} --root {shlex.quote(root)}"
    if as_json:
        sources = [source.name for source in mixture.sources]
        phases = [phase.name for phase in mixture.phases]
        echo_json({"file": str(file), "sources": sources, "phases": phases, "next": following})
    else:
        click.echo(f"wrote {file}\nnext   {following}")


def _text(file: Path, root: str, template: str | None, found: "Usable", store: "Store") -> str:
    from manifests.cli.starter import (
        end_in_token_files,
        end_of_document,
        from_steps,
        from_template,
        templates,
    )

    if template is not None:
        if template not in templates():
            known = ", ".join(templates())
            raise ConfigError(f"--template {template}: no such mixture; there are: {known}")
        return from_template(template, found.tokenizer)
    if not found.buckets:
        left = "; ".join(f"{name}: {why}" for name, why in found.left)
        raise ConfigError(
            f"{root}: no complete step of records with tokens ({left or 'no steps of records'});"
            f" see `{program()} step list`, or start from a --template"
        )
    end = end_in_token_files(store, (line.step for line in found.steps.values()))
    return from_steps(_name(file), found, end or end_of_document(store, found.tokenizer))


def _name(file: Path) -> str:
    """A mixture's name from a file's."""
    name = re.sub(r"[^a-z0-9_.-]+", "-", file.stem.lower()).strip("-_.")[:100]
    return name or "mixture"
