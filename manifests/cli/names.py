"""Tags of manifests, and the room that nobody needs any more."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, program, ref_argument, root_option
from manifests.cli.text import plural

if TYPE_CHECKING:
    from manifests.objects.gc import Garbage, GcPlan

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SHOWN = 10


@click.command()
@ref_argument
@click.argument("tag")
@root_option
@click.option("--message", "-m", default="", metavar="TEXT", help="Why, for the log of the tag.")
@json_option
def tag(ref: str, tag: str, root: str, message: str, as_json: bool) -> None:
    """Let NAME@TAG stand for the manifest REF.

    REF is a version or a tag of the same name. A tag that is there moves; where it pointed before
    stays in its log.
    """
    from manifests.cli.building import author, now
    from manifests.errors import ConfigError
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    refs = Refs(open_store(root))
    found = refs.resolve(ref)
    if not found.name:
        raise ConfigError(f"{ref}: a tag belongs to a name; give NAME or NAME@VERSION")
    made = refs.tag(found.name, tag, found.digest, author=author(), at=now(), message=message)
    if as_json:
        echo_json({"tag": made.name, "digest": made.digest})
    else:
        click.echo(f"{made.name} is sha256:{made.digest}")


@click.command()
@click.argument("tag", metavar="NAME@TAG")
@root_option
@json_option
def untag(tag: str, root: str, as_json: bool) -> None:
    """Take a tag off its manifest.

    The manifest stays as long as another name, version, tag or pin leads to it, which a version
    always does.
    """
    from manifests.cli.building import author, now
    from manifests.errors import ConfigError
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    name, at, text = tag.partition("@")
    if not (name and at and text):
        raise ConfigError(f"{tag}: not a tag; write NAME@TAG")
    made = Refs(open_store(root)).untag(name, text, author=author(), at=now())
    if as_json:
        echo_json({"tag": made.name, "digest": None})
    else:
        click.echo(f"{made.name} is taken off")


@click.command()
@root_option
@click.option(
    "--grace",
    metavar="TIME",
    help="Leave alone what is younger, as 12h or 1d (7d). Less is safe only while nothing is built"
    " or published.",
)
@click.option("--yes", is_flag=True, help="Delete; without it nothing is changed.")
@json_option
def gc(root: str, grace: str | None, yes: bool, as_json: bool) -> None:
    """Tell what no name, tag or pin leads to, and with --yes delete it.

    That is objects of manifests that were never published, and shards of complete steps that no
    commit names.
    """
    import time

    from manifests.objects.gc import collect, plan_gc
    from manifests.objects.tree import GRACE_SECONDS
    from manifests.store import open_store
    from manifests.views.manifest import plain

    store = open_store(root)
    seconds = GRACE_SECONDS if grace is None else _seconds(grace)
    found = plan_gc(store, time.time(), seconds)
    done = collect(store, found) if yes else None
    if as_json:
        garbage = [{"key": one.key, "bytes": one.bytes} for one in found.garbage]
        said = {"garbage": garbage, "bytes": found.bytes, "kept": found.kept}
        echo_json(said | {"collected": plain(done)})
        return
    click.echo("\n".join(_gc_text(found)))
    if done is not None:
        spared = f"; {done.spared:,} spared, which somebody needs since" if done.spared else ""
        click.echo(f"deleted {plural(done.deleted, 'object')}, {done.bytes:,} bytes{spared}")
    elif found.garbage:
        click.echo(f"nothing is deleted yet; `{program()} gc --yes` does it")


def _seconds(text: str) -> int:
    from manifests.errors import ConfigError

    if not (matched := re.fullmatch(r"([0-9]{1,9})([smhd])", text)):
        raise ConfigError(f"--grace {text}: not a time; write 90s, 30m, 12h or 1d")
    return int(matched[1]) * _UNITS[matched[2]]


def _gc_text(found: "GcPlan") -> list[str]:
    manifests = (*found.roots, *found.tables, *found.parts)
    return [
        f"{plural(found.kept, 'object')} of manifests stay",
        *_garbage_text("objects of manifests that nothing leads to", manifests),
        *_garbage_text("shards of steps that no commit names", found.shards),
    ]


def _garbage_text(what: str, found: Sequence["Garbage"]) -> list[str]:
    lines = [f"{len(found):,} {what}, {sum(one.bytes for one in found):,} bytes"]
    lines += [f"  {one.key} ({one.bytes:,} bytes)" for one in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return [*lines, f"  and {more:,} more (--json lists all)"] if more > 0 else lines
