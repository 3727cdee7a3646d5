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
from manifests.store import Store

_COUNTS = pa.map_(pa.string(), pa.int64())
_VOLUMES = pa.map_(pa.string(), pa.struct({"rows": pa.int64(), "tokens": pa.int64()}))

SCHEMA = pa.schema(
    {
        "slice_index": pa.int64(),
        "task": pa.string(),
        "row_type": pa.string(),
        "data_sha256": pa.string(),
        "data_bytes": pa.int64(),
        "rejects_sha256": pa.string(),
        "rejects_bytes": pa.int64(),
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
        "languages": _COUNTS,
        "generators": _VOLUMES,
        "buckets": _VOLUMES,
        "duplicates": pa.int64(),
        "distinct": pa.int64(),
        "calls": pa.int64(),
        "prompt_tokens": pa.int64(),
        "completion_tokens": pa.int64(),
        "cached_tokens": pa.int64(),
        "finish_reasons": _COUNTS,
        "digest": pa.string(),
    },
    metadata={"scriptorium.row": "commit", "scriptorium.version": "1"},
)
"""Percentiles are the upper end of the bin that holds them, 0 where nothing was counted."""


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
        "planned": ledger.planned,
        "accepted": ledger.accepted,
        "rejected": sorted(ledger.rejected.items()),
        "quarantined": ledger.quarantined,
        "rows": ledger.rows,
        "chars": stats.chars,
        "tokenizer": stats.tokenizer,
        "tokens": stats.tokens,
        "languages": sorted(stats.languages.items()),
        "generators": [(name, asdict(stats.generators[name])) for name in sorted(stats.generators)],
        "buckets": [(name, asdict(stats.buckets[name])) for name in sorted(stats.buckets)],
        "duplicates": stats.duplicates,
        "distinct": stats.distinct.estimate(),
        "calls": stats.teacher.calls,
        "prompt_tokens": stats.teacher.prompt_tokens,
        "completion_tokens": stats.teacher.completion_tokens,
        "cached_tokens": stats.teacher.cached_tokens,
        "finish_reasons": sorted(stats.teacher.finish_reasons.items()),
        "digest": commit.digest,
    }
    for percent in (50, 95, 99):
        row[f"tokens_p{percent}"] = _percentile(stats.token_lengths, percent)
        row[f"chars_p{percent}"] = _percentile(stats.char_lengths, percent)
    return row


def _percentile(lengths: Lengths, percent: int) -> int:
    found = lengths.quantile(percent / 100)
    return found.high if found else 0
