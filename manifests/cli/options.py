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
    name, at, _ = incomplete.partition("@")
    return _complete(ctx, name if at else "", incomplete)


def complete_name(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of manifests."""
    return _complete(ctx, "", incomplete)


def _complete(ctx: click.Context, name: str, incomplete: str) -> list[CompletionItem]:
    """The names that begin so, or the versions and tags of this name."""
    from manifests.errors import ScriptoriumError
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    if not (root := ctx.params.get("root")):
        return []
    try:
        refs = Refs(open_store(root))
        found = refs.names()
        if name:
            ends = [*map(str, refs.versions(name)), *refs.tags(name)] if name in found else []
            found = [f"{name}@{end}" for end in ends]
    except (ScriptoriumError, OSError):
        return []  # a shell that asks for words has no use for an error
    return [CompletionItem(text) for text in found if text.startswith(incomplete)]


def ref_argument(command: _Command) -> _Command:
    """Add the argument REF; what it means is asked when it is resolved."""
    return click.argument("ref", shell_complete=complete_ref)(command)


def program() -> str:
    """How this command line was called, for commands to go on with."""
    return click.get_current_context().find_root().info_name or "manifest"


def echo_json(value: object) -> None:
    """Print plain data as JSON in one line."""
    click.echo(json.dumps(value, ensure_ascii=False))
