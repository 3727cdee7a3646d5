"""The proof of a manifest, level by level."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option
from manifests.exits import FAILED

if TYPE_CHECKING:
    from manifests.levels.findings import LevelReport, Report

_LEVELS = ("L0", "L1", "L2", "L3", "L4", "L5")
_SHOWN = 20
"""Findings of a level that are printed."""


@click.command()
@ref_argument
@root_option
@click.option(
    "--level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="L1",
    show_default=True,
    help="How deep; all levels up to it.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="K",
    help="L2 and L3 look at K data files, which the digest draws: the same for everyone. [all]",
)
@click.option(
    "--banned",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="L5 also looks for what FILE bans: an id a line, licence:NAME, generator:NAME, ...",
)
@json_option
def verify(
    ref: str, root: str, level: str, sample: int | None, banned: Path | None, as_json: bool
) -> None:
    """Prove that the manifest REF is whole and says what it means.

    \b
    L0 metadata  objects unchanged, numbers agree, the resolution is what spec and tables give
    L1 presence  every data file is there, with its size
    L2 bytes     the sha256 of data files
    L3 content   their records, counted again
    L4 order     the places of samples, computed again
    L5 lineage   shards are as committed and lead to sources; nothing removed or banned occurs

    A finding is one line. Exit status 0: no finding, 1: some, 2: no such manifest.
    """  # noqa: D301 -- a real \b, for click
    from manifests.cli.text import progress
    from manifests.errors import ConfigError
    from manifests.levels.banned import Banned, read_banned
    from manifests.levels.findings import Level
    from manifests.levels.verify import verify_manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    top = Level[level]
    if sample is not None and top < Level.L2:
        raise ConfigError(
            f"--sample is of L2 and L3, and {top.name} reads no data; give --level L2"
        )
    if banned is not None and top < Level.L5:
        raise ConfigError(f"--banned is of L5, and {top.name} reads no records; give --level L5")
    store = open_store(root)
    listed = read_banned(banned) if banned else Banned()
    digest = Refs(store).resolve(ref).digest
    report = verify_manifest(store, digest, top, sample=sample, banned=listed, progress=progress())
    if as_json:
        echo_json(_plain(report))
    else:
        click.echo("\n".join(_text(report)))
    sys.exit(0 if report.ok else FAILED)


def _plain(report: "Report") -> dict[str, object]:
    levels = [
        {
            **asdict(level),
            "level": level.level.name,
            "title": level.level.title,
            "findings": [{**asdict(found), "level": found.level.name} for found in level.findings],
        }
        for level in report.levels
    ]
    return {"digest": report.digest, "ok": report.ok, "sample": report.sample, "levels": levels}


def _text(report: "Report") -> list[str]:
    lines = [f"sha256:{report.digest}"]
    for level in report.levels:
        lines += [str(found) for found in level.findings[:_SHOWN]]
        if (more := len(level.findings) - _SHOWN) > 0:
            lines.append(f"{level.level.name} and {more:,} more findings (--json lists all)")
        lines.append(_summary(level))
        lines += [f"   {note}" for note in level.notes]
    return lines


def _summary(level: "LevelReport") -> str:
    from manifests.cli.text import plural

    checked = ", ".join(_number(what, number) for what, number in level.checked.items() if number)
    found = plural(len(level.findings), "finding") if level.findings else "no finding"
    name = f"{level.level.name} {level.level.title}"
    return f"{name:12} {found}; {checked or 'nothing to look at'} ({level.seconds:.2f} s)"


def _number(what: str, number: int) -> str:
    return f"{number:,} {what.removesuffix('s') if number == 1 else what}"
