"""A step's commits as shard rows: from its index, columnar, or from the commits themselves.

Commits alone say that a step is complete; an index with as many rows as the step has slices holds
what they hold and is read in one go.
"""

import logging
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
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


def step_rows(store: Store, step: str, tokenizer: str, *, partial: bool = False) -> pa.Table:
    """Shard rows of all commits of a step that have rows, by key.

    Raises:
        ConfigError: The step is not complete (unless `partial`), its rows are no records, or its
            tokens were counted by another tokenizer or by none.
        DataError: Its index or a commit is broken.
    """
    slices = slices_of(store, step)
    facts = _indexed(store, step, slices)
    if facts is None:
        if not partial:
            _check_complete(store, step, slices)
        facts = _committed(store, step)
    facts = facts.filter(pc.greater(facts["rows"], 0))
    _check_facts(facts, step, tokenizer)
    return _shard_rows(facts, step)


def _indexed(store: Store, step: str, slices: int | None) -> pa.Table | None:
    """The index, or None where there is none of all slices."""
    key = index_file(step)
    try:
        data = store.get(key)
    except NotInStore:
        return None
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        if file.metadata.num_rows != slices:
            return None
        return file.read(columns=_FACTS.names).select(_FACTS.names).cast(_FACTS)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{store.url}: {key} is broken or of an earlier version ({str(error).splitlines()[0]});"
            f" rebuild it with `manifest step index {step}`"
        ) from error


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


def _committed(store: Store, step: str) -> pa.Table:
    return pa.Table.from_pylist([_fact(c) for c in read_commits(store, step)], schema=_FACTS)


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


def _check_facts(facts: pa.Table, step: str, tokenizer: str) -> None:
    for row_type in pc.unique(facts["row_type"]).to_pylist():
        if row_type != "record":
            raise ConfigError(
                f"{step} holds rows of the type {row_type}, and a mixture is made of records; name"
                " a step that generates or screens records"
            )
    for counted in pc.unique(facts["tokenizer"]).to_pylist():
        if not counted:
            raise ConfigError(
                f"{step}: its tokens were not counted; run it with --tokenizer and the"
                f" tokenizer.json of {tokenizer}"
            )
        if counted != tokenizer:
            raise ConfigError(
                f"{step}: its tokens were counted by {counted}, those of the mixture by"
                f" {tokenizer}; leave the step out, or run it again with the mixture's tokenizer"
            )


def _shard_rows(facts: pa.Table, step: str) -> pa.Table:
    facts = facts.take(_order(facts["task"], step)).combine_chunks()
    count = facts.num_rows
    columns = {
        **{name: facts[name] for name in SHARD_ROWS.names if name in facts.column_names},
        "key": facts["task"],
        "step": pa.repeat(step, count),
        "sha256": facts["data_sha256"],
        "bytes": facts["data_bytes"],
        "picked": pa.repeat(pa.scalar(b"", pa.binary()), count),
        "documents": facts["rows"],
        # Each document is closed by a token of its own.
        "tokens": pc.add(facts["tokens"], facts["rows"]),
    }
    return pa.Table.from_arrays([columns[name] for name in SHARD_ROWS.names], schema=SHARD_ROWS)


def _order(keys: pa.ChunkedArray, step: str) -> npt.NDArray[np.int64]:
    """The order by key; a key is a task id of 32 hexadecimal digits."""
    if not pc.all(pc.equal(pc.binary_length(keys), 32)).as_py():
        raise DataError(f"{step}: its index names a task that is none; rebuild the index")
    order: npt.NDArray[np.int64] = pc.sort_indices(keys).to_numpy().astype(np.int64)
    return order
