"""What is below a root to write a mixture of: every step, how far it is, and what it holds.

A step that is complete is read from its index, any other from its commits.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests import layout
from manifests.index import SCHEMA
from manifests.raw_files import RawFiles
from manifests.stats import Volume

READERS = 16
"""Files that are read at once: they are small, so it is the round trips that take time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """A step in numbers."""

    step: str
    """Address."""
    row_type: str = ""
    """Empty while nothing has committed."""
    slices: int | None = None
    """None when its step.json does not say."""
    committed: int = 0
    rows: int = 0
    tokens: int = 0
    bytes: int = 0
    """Of its data, token files included."""
    tokenizers: tuple[str, ...] = ()
    buckets: dict[str, Volume] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    """Steps that it was made from."""

    @property
    def complete(self) -> bool:
        """Whether every slice has committed."""
        return self.slices == self.committed

    @property
    def name(self) -> str:
        """`name@version`."""
        return self.step.split("/")[1]

    @property
    def short(self) -> str:
        """As short as it is commonly told apart by."""
        return f"{self.name}/{self.step.rpartition('/')[2][:8]}"


def step_lines(files: RawFiles) -> list[StepLine]:
    """All steps below a root, by address."""
    addresses = [
        f"steps/{name}/{fingerprint}"
        for name in sorted(files.names("steps"))
        for fingerprint in sorted(files.names(f"steps/{name}"))
    ]
    with ThreadPoolExecutor(READERS, thread_name_prefix="steps") as readers:
        return list(readers.map(lambda step: _line(files, step), addresses))


def _line(files: RawFiles, step: str) -> StepLine:
    about = _about(files, step)
    slices = files.slices(step)
    found = _from_index(files, step, slices) or _from_commits(_commits(files, step))
    told = about.get("inputs")
    inputs = told if isinstance(told, list) else []
    return StepLine(
        step=step, slices=slices, inputs=tuple(str(address) for address in inputs), **found
    )


def _about(files: RawFiles, step: str) -> dict[str, Any]:
    try:
        about = json.loads(files.get(layout.step_file(step)) or b"{}")
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _from_index(files: RawFiles, step: str, slices: int | None) -> dict[str, Any] | None:
    """None when there is no index, or one of another version or of fewer slices."""
    data = files.get(layout.index_file(step))
    if data is None:
        return None
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.schema_arrow.metadata != SCHEMA.metadata or file.metadata.num_rows != slices:
            return None
        names = ["row_type", "rows", "tokens", "data_bytes", "tokenizer", "buckets", "token_files"]
        rows = file.read(columns=names)
    except pa.ArrowException:
        return None  # an index is rebuilt at will; the commits tell the same
    return {
        "row_type": next(iter(rows["row_type"].unique().to_pylist()), ""),
        "committed": rows.num_rows,
        "rows": _sum(rows["rows"]),
        "tokens": _sum(rows["tokens"]),
        "bytes": _sum(rows["data_bytes"]) + _sum(_token_bytes(rows["token_files"])),
        "tokenizers": _names(rows["tokenizer"].unique().to_pylist()),
        "buckets": _volumes(pc.list_flatten(rows["buckets"])),
    }


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _token_bytes(files: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.struct_field(pc.list_flatten(files), "bytes")


def _names(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(found) - {""}))


def _volumes(said: pa.ChunkedArray) -> dict[str, Volume]:
    names = ("name", "rows", "tokens")
    table = pa.table({name: pc.struct_field(said, name) for name in names})
    sums = table.group_by("name").aggregate([("rows", "sum"), ("tokens", "sum")])
    rows = sums.select(["name", "rows_sum", "tokens_sum"]).sort_by("name").to_pylist()
    return {row["name"]: Volume(row["rows_sum"], row["tokens_sum"]) for row in rows}


def _commits(files: RawFiles, step: str) -> Iterator[dict[str, Any]]:
    folder = layout.commits_prefix(step).rstrip("/")
    keys = [f"{folder}/{name}" for name in sorted(files.names(folder)) if name.endswith(".json")]
    with ThreadPoolExecutor(READERS, thread_name_prefix="commits") as readers:
        yield from (commit for commit in readers.map(files.commit, keys) if commit is not None)


def _from_commits(commits: Iterator[dict[str, Any]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    row_types, tokenizers = set[str](), set[str]()
    buckets: dict[str, Volume] = {}
    for commit in commits:
        stats = commit.get("stats", {})
        counts.update(
            committed=1,
            rows=commit["ledger"]["rows"],
            tokens=stats.get("tokens", 0),
            bytes=sum(one["bytes"] for one in (commit["data"], *commit["tokens"])),
        )
        row_types.add(str(commit.get("row_type", "")))
        tokenizers.add(str(stats.get("tokenizer", "")))
        for name, volume in stats.get("buckets", {}).items():
            buckets[name] = buckets.get(name, Volume()) + Volume(**volume)
    return {
        **counts,
        "row_type": ", ".join(_names(row_types)),
        "tokenizers": _names(tokenizers),
        "buckets": dict(sorted(buckets.items())),
    }
