"""A step's commits as shard rows: from its index, columnar, or from the commits themselves.

Commits alone say that a step is complete; an index with as many rows as the step has slices holds
what they hold and is read in one go.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.commits import Commit, read_commits
from manifests.errors import ConfigError, DataError, NotInStore
from manifests.layout import commits_prefix, index_file
from manifests.objects.ranges import SHARD_ROWS
from manifests.select.steps import slices_of
from manifests.stats import Volume
from manifests.store import Store

logger = logging.getLogger(__name__)

Facts = Callable[[str], pa.ChunkedArray]
"""The facts of all commits, a column by its name."""

_READERS = 2
"""Columns that are decoded at once."""

_BROKEN = (pa.ArrowException, OSError, KeyError, ValueError)
"""What Arrow raises for bytes that are not what they should be."""

ROW_TYPES = ("record", "tokendocument")
"""What a mixture may be made of: a manifest of either is the same arithmetic."""

COMPOSITIONS = ("buckets", "generators", "sources", "licences", "languages", "teachers")

_FACTS = pa.schema(
    {
        "task": pa.string(),
        "slice_index": pa.int64(),
        "row_type": pa.string(),
        "data_sha256": pa.string(),
        "data_bytes": pa.int64(),
        "rows": pa.int64(),
        "tokenizer": pa.string(),
        "tokens": pa.int64(),
        **{name: SHARD_ROWS.field(name).type for name in ("lengths", *COMPOSITIONS)},
    }
)
"""Columns of an index that make shard rows."""
_SOURCES = {"key": "task", "sha256": "data_sha256", "bytes": "data_bytes", "documents": "rows"}
"""Which of them become columns of another name."""


class StepRows(NamedTuple):
    """A step as a mixture takes it."""

    row_type: str
    """One of `ROW_TYPES`; empty where no shard has rows."""
    table: pa.Table
    """Shard rows of all commits that have rows, by key."""


def step_rows(store: Store, step: str, tokenizer: str, *, partial: bool = False) -> StepRows:
    """What a step has committed.

    Raises:
        ConfigError: The step is not complete (unless `partial`), its rows are neither records nor
            token documents, or its tokens were counted by another tokenizer or by none.
        DataError: Its index or a commit is broken.
    """
    slices = slices_of(store, step)
    facts = _indexed(store, step, slices)
    if facts is None:
        if not partial:
            _check_complete(store, step, slices)
        facts = _committed(store, step)
    row_type = _row_type(facts, step, tokenizer)
    return StepRows(row_type, _shard_rows(facts, step))


def _indexed(store: Store, step: str, slices: int | None) -> Facts | None:
    """The index, or None where there is none of all slices."""
    key = index_file(step)
    try:
        data = store.get(key)
    except NotInStore:
        return None

    def broken(error: Exception) -> DataError:
        return DataError(
            f"{store.url}: {key} is broken or of an earlier version ({str(error).splitlines()[0]});"
            f" rebuild it with `manifest step index {step}`"
        )

    def opened(metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
        # Never read with threads of Arrow's own, which could outlive the bytes.
        source = pa.BufferReader(data)
        return pq.ParquetFile(source, metadata=metadata, page_checksum_verification=True)

    def column(name: str) -> pa.ChunkedArray:
        try:
            table = opened(metadata).read([name], use_threads=False)  # a thread, a reader
            return table[name].cast(_FACTS.field(name).type)
        except _BROKEN as error:
            raise broken(error) from error

    try:
        metadata = opened().metadata
    except _BROKEN as error:
        raise broken(error) from error
    return column if metadata.num_rows == slices else None


def _check_complete(store: Store, step: str, slices: int | None) -> None:
    committed = sum(key.endswith(".json") for key in store.list(commits_prefix(step)))
    if slices is None:
        raise ConfigError(
            f"{step} has no step.json that says how many slices it has ({committed} have"
            " committed); run it again, or set partial = true to use it as far as it is"
        )
    if committed < slices:
        raise ConfigError(
            f"{step} is not complete: {committed} of {slices} slices have committed; finish its"
            " run, or set partial = true to use it as far as it is"
        )
    logger.warning(
        "%s is complete but not indexed: reading %d commits; `manifest step index` makes an index",
        step,
        committed,
    )


def _committed(store: Store, step: str) -> Facts:
    facts = [_fact(commit) for commit in read_commits(store, step)]
    column: Facts = pa.Table.from_pylist(facts, schema=_FACTS).column
    return column


def _fact(commit: Commit) -> dict[str, object]:
    stats = commit.stats
    volumes: dict[str, dict[str, Volume]] = {name: getattr(stats, name) for name in COMPOSITIONS}
    return {
        "task": commit.task,
        "slice_index": commit.slice_index,
        "row_type": commit.row_type,
        "data_sha256": commit.data.sha256,
        "data_bytes": commit.data.bytes,
        "rows": commit.data.rows,
        "tokenizer": stats.tokenizer,
        "tokens": stats.tokens,
        "lengths": [{"bin": i, "count": count} for i, count in stats.token_lengths.bins],
        **{
            name: [{"name": value, **asdict(by[value])} for value in sorted(by)]
            for name, by in volumes.items()
        },
    }


def _row_type(facts: Facts, step: str, tokenizer: str) -> str:
    """The type of the rows, which can be used."""
    has_rows = pc.greater(facts("rows"), 0)
    row_types: list[str] = pc.unique(facts("row_type").filter(has_rows)).to_pylist()
    for row_type in row_types:
        if row_type not in ROW_TYPES:
            raise ConfigError(
                f"{step} holds rows of the type {row_type}, and a mixture is made of records or of"
                " token documents; name a step that generates, screens or tokenizes records"
            )
    for by in pc.unique(facts("tokenizer").filter(has_rows)).to_pylist():
        if not by:
            raise ConfigError(
                f"{step}: its tokens were not counted; run it with --tokenizer and the"
                f" tokenizer.json of {tokenizer}"
            )
        if by != tokenizer:
            raise ConfigError(
                f"{step}: its tokens were counted by {by}, those of the mixture by"
                f" {tokenizer}; leave the step out, or run it again with the mixture's tokenizer"
            )
    return " and ".join(sorted(row_types))


def _shard_rows(facts: Facts, step: str) -> pa.Table:
    order = _order(facts, step)
    count = len(order)
    names = [name for name in SHARD_ROWS.names if name not in ("step", "picked")]

    def in_order(name: str) -> pa.ChunkedArray:
        return facts(_SOURCES.get(name, name)).take(order)

    # A few columns at a time: no more than these are in memory twice.
    with ThreadPoolExecutor(_READERS, thread_name_prefix="index") as readers:
        taken = dict(zip(names, readers.map(in_order, names), strict=True))
    columns = {
        **taken,
        "step": pa.repeat(step, count),
        "picked": pa.repeat(pa.scalar(b"", pa.binary()), count),
        # Each document is closed by a token of its own.
        "tokens": pc.add(taken["tokens"], taken["documents"]),
    }
    arrays = [columns[name] for name in SHARD_ROWS.names]
    return pa.Table.from_arrays(arrays, schema=SHARD_ROWS).combine_chunks()


def _order(facts: Facts, step: str) -> pa.Array:
    """The commits that have rows, by key."""
    keys = facts("task")
    if not pc.all(pc.equal(pc.binary_length(keys), 32)).as_py():
        raise DataError(f"{step}: its index names a task that is none; rebuild the index")
    order = pc.sort_indices(keys)
    return order.filter(pc.greater(facts("rows").take(order), 0).combine_chunks())
