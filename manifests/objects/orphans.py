"""Shards that no commit names: left by a task that was killed, or that came second.

Only complete steps are looked at, and only those that a run planned: while a run is open its tasks
write shards before they commit them, and of a step that no run names we know nothing.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from manifests.commits import read_commits, task_id
from manifests.errors import DataError
from manifests.layout import (
    RUNS,
    commit_file,
    commits_prefix,
    data_file,
    data_prefix,
    rejects_file,
    rejects_prefix,
    tokens_file,
    tokens_prefix,
)
from manifests.objects.ranges import Range, read_ranges
from manifests.objects.reach import at_once
from manifests.objects.tree import Objects
from manifests.shards import parquet_file
from manifests.store import Store

_SHARD = re.compile(r"[0-9a-f]{64}\.parquet")


class _Step(BaseModel):
    address: str
    slices: int


class _Run(BaseModel):
    steps: tuple[_Step, ...]


def orphaned_shards(objects: Objects, kept: Sequence[Range]) -> list[str]:
    """Keys of data, rejects and token files of complete steps that neither a commit nor a kept
    table leads to.

    Raises:
        DataError: A run, a commit or a kept range is broken.
    """
    found = {key for step in _closed_steps(objects.store) for key in _unnamed(objects.store, step)}
    if found:
        named = found & set[str]().union(*at_once(lambda part: _named(objects, part), kept))
        found -= named
        tokenized = {key.partition("/tokens/")[0] for key in found if "/tokens/" in key}
        data = sorted(key for key in named if key.partition("/data/")[0] in tokenized)
        found.difference_update(*at_once(lambda key: _token_files(objects.store, key), data))
    return sorted(found)


def _closed_steps(store: Store) -> list[str]:
    """Steps of runs, of which no run that is open has one."""
    runs = at_once(lambda key: _read(store, key), list(store.list(RUNS)))
    slices: dict[str, int] = defaultdict(int)
    for step in (step for run in runs for step in run.steps):
        slices[step.address] = max(slices[step.address], step.slices)
    complete = {step for step, count in slices.items() if _is_complete(store, step, count)}
    steps = [{step.address for step in run.steps} for run in runs]
    return sorted(complete.difference(*(addresses for addresses in steps if addresses - complete)))


def _read(store: Store, key: str) -> _Run:
    try:
        return _Run.model_validate_json(store.get(key))
    except ValidationError as error:
        raise DataError(f"{store.url}: {key}: not the plan of a run") from error


def _is_complete(store: Store, step: str, slices: int) -> bool:
    there = set(store.list(commits_prefix(step)))
    return all(commit_file(step, task_id(step, number)) in there for number in range(slices))


def _unnamed(store: Store, step: str) -> set[str]:
    """Shards of a step that none of its commits names. Shards are listed before commits are read,
    so that one which is committed meanwhile is not among them.
    """
    found: set[str] = set()
    for prefix in (data_prefix(step), rejects_prefix(step), tokens_prefix(step)):
        keys = store.list(prefix)
        found |= {key for key in keys if _SHARD.fullmatch(key.removeprefix(prefix))}
    if found:
        for commit in read_commits(store, step):
            found.discard(data_file(step, commit.data.sha256))
            found.discard(rejects_file(step, commit.rejects.sha256))
            found.difference_update(tokens_file(step, one.sha256) for one in commit.tokens)
    return found


def _named(objects: Objects, kept: Range) -> set[str]:
    """Keys of the shards that a range of a kept table names."""
    rows = read_ranges(objects, [kept], ["step", "sha256"])
    keys = pc.binary_join_element_wise(rows["step"], "/data/", rows["sha256"], "")
    return {f"{key}.parquet" for key in keys.to_pylist()}


def _token_files(store: Store, data: str) -> set[str]:
    """Keys of the token files that the rows of a data file lie in."""
    step = data.partition("/data/")[0]
    try:
        file = parquet_file(store.get(data))
        names = [name for name in file.schema_arrow.names if name == "file"]
        columns = file.read(names).columns
    except pa.ArrowException as error:
        raise DataError(f"{store.url}: {data} cannot be read; restore the file") from error
    return {
        tokens_file(step, sha256) for column in columns for sha256 in column.unique().to_pylist()
    }
