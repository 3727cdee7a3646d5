"""What the commands share: where the data lies, how results are printed, how a REF completes."""

import json
from collections.abc import Callable
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

ROOT_VARIABLE = "SCRIPTORIUM_ROOT"
_Command = TypeVar("_Command", bound=Callable[..., object])


def root_option(command: _Command) -> _Command:
    """Add `--root`, which the environment may give."""
    return click.option(
        "--root",
        required=True,
        metavar="URL",
        envvar=ROOT_VARIABLE,
        show_envvar=True,
        help="Where the data lies: a path or an fsspec URL.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )


def complete_ref(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of manifests; after an @ the versions and tags of a name."""
    root = ctx.params.get("root")
    return [CompletionItem(text) for text in _known(root, incomplete)] if root else []


def _known(root: str, incomplete: str) -> list[str]:
    from manifests.errors import ScriptoriumError
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    try:
        refs = Refs(open_store(root))
        name, at, _ = incomplete.partition("@")
        found = refs.names()
        if at and name in found:
            ends = [*map(str, refs.versions(name)), *refs.tags(name)]
            found = [f"{name}@{end}" for end in ends]
    except (ScriptoriumError, OSError):
        return []  # a shell that asks for words has no use for an error
    return [text for text in found if text.startswith(incomplete)]


def ref_argument(command: _Command) -> _Command:
    """Add the argument REF; what it means is asked when it is resolved."""
    return click.argument("ref", shell_complete=complete_ref)(command)


def program() -> str:
    """How this command line was called, for commands to go on with."""
    return click.get_current_context().find_root().info_name or "manifest"


def echo_json(value: object) -> None:
    """Print plain data as JSON in one line."""
    click.echo(json.dumps(value, ensure_ascii=False))
