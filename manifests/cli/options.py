"""What the commands share: where the data lies, how results are printed, how a REF completes."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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


class RefType(click.ParamType):
    """A manifest by name, name@version, name@tag or sha256:digest; checked when it is resolved."""

    name = "ref"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names; after an @ the versions and tags of a name."""
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


REF = RefType()


def echo_json(value: "dict[str, Any] | DataclassInstance") -> None:
    """Print one JSON object."""
    plain = value if isinstance(value, dict) else asdict(value)
    click.echo(json.dumps(plain, ensure_ascii=False))
