"""From a record to the batches that train on it, and from a batch to its records."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option
from manifests.exits import FAILED

if TYPE_CHECKING:
    from manifests.locate.batch import Ranks
    from manifests.locate.contents import Contents

_COUNT = click.IntRange(min=1)
_data_parallel = click.option(
    "--data-parallel",
    type=_COUNT,
    metavar="N",
    help="Data-parallel ranks, for rank and micro step.",
)
_micro_batch = click.option(
    "--micro-batch", type=_COUNT, metavar="M", help="Samples of a micro batch."
)


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@ref_argument
@root_option
@click.option(
    "--ids",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of more ids: .parquet or .jsonl with a column id, or .txt, one a line.",
)
@click.option("--phase", metavar="P", help="This phase only.")
@click.option(
    "--until-step",
    type=click.IntRange(min=0),
    metavar="S",
    help="Count what the first S steps of the phase, and the phases it goes on from, trained on.",
)
@_data_parallel
@_micro_batch
@click.option(
    "--shard", default="", metavar="SHA", help="Look only into files whose sha256 starts so."
)
@json_option
def where(
    ids: tuple[str, ...],
    ref: str,
    root: str,
    file: Path | None,
    phase: str | None,
    until_step: int | None,
    data_parallel: int | None,
    micro_batch: int | None,
    shard: str,
    as_json: bool,
) -> None:
    """Tell at which steps of the manifest REF records are trained on.

    Every occurrence has its phase, step, index in the global batch, position in the phase, epoch
    and sample. To find a record the shards are read, until each step that the manifest uses has
    shown all IDs or is through. Exit status 1: an ID is in no shard of the manifest.
    """
    from manifests.cli.draw_where import where_text
    from manifests.cli.text import progress
    from manifests.errors import ConfigError
    from manifests.locate.where import Asked, places_plain, where

    wanted = [*ids, *(_read_ids(file) if file else ())]
    if not wanted:
        raise ConfigError("no record: give ids before REF, or a file of them with --ids")
    _both(data_parallel, micro_batch)
    asked = Asked(
        phase=phase or "",
        until_step=until_step,
        data_parallel=data_parallel,
        micro_batch=micro_batch,
    )
    contents, shown = _open(root, ref), progress()
    told = (lambda done, total: shown("files", done, total)) if shown else None
    found = where(contents, wanted, asked, shard, told)
    if as_json:
        digest = contents.manifest.digest
        echo_json({"digest": digest, "records": [places_plain(one) for one in found]})
    else:
        click.echo("\n".join(where_text(found, asked)))
    sys.exit(0 if all(one.holdings for one in found) else FAILED)


@click.command()
@click.argument("phase")
@click.argument("step", type=int)
@ref_argument
@root_option
@click.option("--rank", type=click.IntRange(min=0), metavar="R", help="This rank's samples only.")
@_data_parallel
@_micro_batch
@click.option(
    "--text",
    "characters",
    type=_COUNT,
    metavar="N",
    help="Show the first N characters of each document.",
)
@json_option
def at(
    phase: str,
    step: int,
    ref: str,
    root: str,
    rank: int | None,
    data_parallel: int | None,
    micro_batch: int | None,
    characters: int | None,
    as_json: bool,
) -> None:
    """Tell what a global batch holds: STEP of PHASE of the manifest REF.

    Of every sample its leaf and epoch, and its documents, each with the tokens of it that are in
    the sample; the token that closes a document counts as its last. A sample's last token is a
    label only, and the first input of the next.
    """
    from manifests.cli.draw_where import batch_text
    from manifests.cli.text import progress
    from manifests.locate.batch import batch
    from manifests.views.manifest import plain

    ranks = _ranks(rank, data_parallel, micro_batch)
    contents, shown = _open(root, ref), progress()
    told = (lambda done, total: shown("shards", done, total)) if shown else None
    found = batch(contents, contents.phase(phase), step, ranks, characters or 0, told)
    if as_json:
        echo_json({"digest": contents.manifest.digest, "batch": plain(found)})
    else:
        click.echo("\n".join(batch_text(found)))


def _open(root: str, ref: str) -> "Contents":
    from manifests.locate.contents import Contents
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    store = open_store(root)
    return Contents(Manifest(store, Refs(store).resolve(ref).digest))


def _read_ids(file: Path) -> tuple[str, ...]:
    from manifests.select.takedowns import removed_ids
    from manifests.spec.types import Removal

    return removed_ids([Removal(report=str(file))])


def _both(data_parallel: int | None, micro_batch: int | None) -> None:
    from manifests.errors import ConfigError

    if (data_parallel is None) != (micro_batch is None):
        raise ConfigError(
            "--data-parallel and --micro-batch say together what goes where: give both"
        )


def _ranks(rank: int | None, data_parallel: int | None, micro_batch: int | None) -> "Ranks | None":
    from manifests.errors import ConfigError
    from manifests.locate.batch import Ranks

    _both(data_parallel, micro_batch)
    if data_parallel is None or micro_batch is None:
        if rank is not None:
            raise ConfigError("--rank: of how many? give --data-parallel and --micro-batch too")
        return None
    return Ranks(data_parallel=data_parallel, micro_batch=micro_batch, rank=rank)
