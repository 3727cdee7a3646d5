"""The index of a step: one row a commit, sorted by slice, for whoever wants numbers and not files.

It holds nothing that the commits do not; it is written whole, may be rebuilt at any time, and the
same commits give the same bytes.
"""

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from manifests.commits import Commit, read_commits
from manifests.layout import index_file
from manifests.shards import parquet_bytes
from manifests.sketches import Lengths
from manifests.stats import Volume
from manifests.store import Store
from manifests.tables import list_of

_COUNTS = list_of(pa.struct({"name": pa.string(), "count": pa.int64()}))
_VOLUMES = list_of(pa.struct({"name": pa.string(), "rows": pa.int64(), "tokens": pa.int64()}))
_FILES = list_of(pa.struct({"sha256": pa.string(), "bytes": pa.int64()}))
_LENGTHS = list_of(pa.struct({"bin": pa.int32(), "count": pa.int64()}))

SCHEMA = pa.schema(
    {
        "slice_index": pa.int64(),
        "task": pa.string(),
        "row_type": pa.string(),
        "data_sha256": pa.string(),
        "data_bytes": pa.int64(),
        "rejects_sha256": pa.string(),
        "rejects_bytes": pa.int64(),
        "token_files": _FILES,
        "planned": pa.int64(),
        "accepted": pa.int64(),
        "rejected": _COUNTS,
        "quarantined": pa.int64(),
        "rows": pa.int64(),
        "chars": pa.int64(),
        "tokenizer": pa.string(),
        "tokens": pa.int64(),
        "tokens_p50": pa.int64(),
        "tokens_p95": pa.int64(),
        "tokens_p99": pa.int64(),
        "chars_p50": pa.int64(),
        "chars_p95": pa.int64(),
        "chars_p99": pa.int64(),
        "lengths": _LENGTHS,
        "buckets": _VOLUMES,
        "generators": _VOLUMES,
        "sources": _VOLUMES,
        "licences": _VOLUMES,
        "languages": _VOLUMES,
        "teachers": _VOLUMES,
        "duplicates": pa.int64(),
        "distinct": pa.int64(),
        "calls": pa.int64(),
        "prompt_tokens": pa.int64(),
        "completion_tokens": pa.int64(),
        "cached_tokens": pa.int64(),
        "finish_reasons": _COUNTS,
        "digest": pa.string(),
    },
    metadata={"scriptorium.row": "commit", "scriptorium.version": "3"},
)
"""Percentiles are the upper end of the bin that holds them, 0 where nothing was counted; `lengths`
are the bins of the rows' tokens (`manifests.sketches.Lengths`). Lists are sorted by name or bin."""


def build_index(store: Store, step: str) -> int:
    """Write the index of the step at this address; how many commits it has.

    Raises:
        DataError: A commit is broken.
    """
    rows = sorted(map(_row, read_commits(store, step)), key=lambda row: row["slice_index"])
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    store.put(index_file(step), parquet_bytes(table))
    return len(rows)


def _row(commit: Commit) -> dict[str, Any]:
    stats, ledger = commit.stats, commit.ledger
    row: dict[str, Any] = {
        "slice_index": commit.slice_index,
        "task": commit.task,
        "row_type": commit.row_type,
        "data_sha256": commit.data.sha256,
        "data_bytes": commit.data.bytes,
        "rejects_sha256": commit.rejects.sha256,
        "rejects_bytes": commit.rejects.bytes,
        "token_files": [{"sha256": one.sha256, "bytes": one.bytes} for one in commit.tokens],
        "planned": ledger.planned,
        "accepted": ledger.accepted,
        "rejected": _counts(ledger.rejected),
        "quarantined": ledger.quarantined,
        "rows": ledger.rows,
        "chars": stats.chars,
        "tokenizer": stats.tokenizer,
        "tokens": stats.tokens,
        "lengths": [{"bin": i, "count": n} for i, n in stats.token_lengths.bins],
        "buckets": _volumes(stats.buckets),
        "generators": _volumes(stats.generators),
        "sources": _volumes(stats.sources),
        "licences": _volumes(stats.licences),
        "languages": _volumes(stats.languages),
        "teachers": _volumes(stats.teachers),
        "duplicates": stats.duplicates,
        "distinct": stats.distinct.estimate(),
        "calls": stats.teacher.calls,
        "prompt_tokens": stats.teacher.prompt_tokens,
        "completion_tokens": stats.teacher.completion_tokens,
        "cached_tokens": stats.teacher.cached_tokens,
        "finish_reasons": _counts(stats.teacher.finish_reasons),
        "digest": commit.digest,
    }
    for percent in (50, 95, 99):
        row[f"tokens_p{percent}"] = _percentile(stats.token_lengths, percent)
        row[f"chars_p{percent}"] = _percentile(stats.char_lengths, percent)
    return row


def _counts(counts: dict[str, int]) -> list[dict[str, object]]:
    return [{"name": name, "count": counts[name]} for name in sorted(counts)]


def _volumes(volumes: dict[str, Volume]) -> list[dict[str, object]]:
    return [{"name": name, **asdict(volumes[name])} for name in sorted(volumes)]


def _percentile(lengths: Lengths, percent: int) -> int:
    found = lengths.quantile(percent / 100)
    return found.high if found else 0
