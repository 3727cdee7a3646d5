"""Manifests over token steps, verified: each kind of damage at the first level that looks at it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.commits import read_commits
from manifests.index import build_index
from manifests.layout import data_file, index_file, tokens_file
from manifests.levels.findings import Kind, Level
from manifests.levels.verify import verify_manifest
from manifests.objects.manifest import Manifest
from manifests.shards import read_shard, write_shard
from manifests.store import Store, open_store
from tests.manifests.tokened import (
    END,
    FACTS,
    SPEC,
    joined,
    mixed,
    texts,
    token_step,
    write_token_file,
)
from tests.manifests.verified import built, findings, with_rows

MADE = [mixed("a", 12), texts("b", 30)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def step(store: Store) -> str:
    return token_step(store, "made_tokens", *MADE, files=2, index=True)


@pytest.fixture
def digest(store: Store, step: str) -> str:
    return built(store, SPEC.format(step="made_tokens@1"))


@pytest.mark.parametrize("indexed", [True, False])
def test_a_whole_manifest_of_ids_has_no_finding(
    store: Store, step: str, digest: str, indexed: bool
) -> None:
    if not indexed:
        store.delete(index_file(step))
    report = verify_manifest(store, digest, Level.L5)
    assert list(report.findings) == []
    checked = [level.checked for level in report.levels]
    ids = sum(len(joined(made)) for made in MADE)
    assert (checked[1]["data files"], checked[1]["token files"]) == (2, 4)
    assert (checked[2]["token files"], checked[2]["token ids"]) == (4, ids)
    assert checked[3]["records"] == sum(map(len, MADE))


@pytest.mark.parametrize("indexed", [True, False])
def test_a_missing_token_file_is_found_by_a_look(
    store: Store, step: str, digest: str, indexed: bool
) -> None:
    if not indexed:
        store.delete(index_file(step))
    commit = next(iter(read_commits(store, step)))
    key = tokens_file(step, commit.tokens[0].sha256)
    store.put(key, store.get(key)[:-1])
    assert findings(store, digest, Level.L1) == {(Level.L1, Kind.CORRUPT)}
    store.delete(key)
    report = verify_manifest(store, digest, Level.L1)
    assert [(found.kind, found.where) for found in report.findings] == [(Kind.MISSING, key)]


def test_an_index_that_knows_no_token_files_is_no_help_and_no_harm(
    store: Store, step: str, digest: str
) -> None:
    path = Path(store.url) / index_file(step)
    pq.write_table(pq.read_table(path).drop(["token_files"]), path)
    report = verify_manifest(store, digest, Level.L1)
    assert list(report.findings) == []
    assert report.levels[1].checked["token files"] == 4


def test_a_flipped_bit_of_a_token_file_is_found_in_its_bytes(
    store: Store, step: str, digest: str
) -> None:
    commit = next(iter(read_commits(store, step)))
    key = tokens_file(step, commit.tokens[0].sha256)
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    assert findings(store, digest, Level.L1) == set()
    assert findings(store, digest) == {(Level.L2, Kind.CORRUPT)}


def test_a_file_under_its_own_digest_that_is_no_token_file_is_found(
    store: Store, step: str, digest: str
) -> None:
    commit = next(iter(read_commits(store, step)))
    table = read_shard(store, data_file(step, commit.data.sha256), commit.data)
    other = write_shard(store, partial(tokens_file, step), pa.table({"x": [1]}))
    changed = _with_column(table, "file", pa.array([other.sha256] * table.num_rows))
    assert findings(store, _over(store, digest, commit.data.sha256, changed, step), Level.L3) == {
        (Level.L2, Kind.FORM)
    }


@pytest.mark.parametrize("column", ["start", "file"])
def test_rows_that_lie_elsewhere_than_they_say_are_found_in_the_content(
    store: Store, step: str, digest: str, column: str
) -> None:
    commit = next(iter(read_commits(store, step)))
    table = read_shard(store, data_file(step, commit.data.sha256), commit.data)
    values = table[column].to_pylist()
    if column == "start":
        values[1] += 1
    else:
        one, other = sorted(set(values))
        values = [other if value == one else one for value in values]
    changed = _with_column(table, column, pa.array(values))
    assert findings(store, _over(store, digest, commit.data.sha256, changed, step), Level.L3) == {
        (Level.L3, Kind.COUNT)
    }


def test_rows_without_a_place_are_found(store: Store, step: str, digest: str) -> None:
    commit = next(iter(read_commits(store, step)))
    table = read_shard(store, data_file(step, commit.data.sha256), commit.data)
    starts = [None, *table["start"].to_pylist()[1:]]
    changed = _with_column(table, "start", pa.array(starts, pa.int64()))
    assert findings(store, _over(store, digest, commit.data.sha256, changed, step), Level.L3) == {
        (Level.L2, Kind.FORM)
    }


def test_ids_of_another_end_of_document_are_found(store: Store, step: str, digest: str) -> None:
    commit = next(iter(read_commits(store, step)))
    table = read_shard(store, data_file(step, commit.data.sha256), commit.data)
    made = MADE[commit.slice_index]
    ids = np.where(joined(made) == END, 7, joined(made))
    file = write_token_file(store, step, ids, replace(FACTS, end_of_document=7))
    starts = np.cumsum([0, *(len(one.ids) + 1 for one in made)])[:-1]
    changed = _with_column(table, "file", pa.array([file.sha256] * len(made)))
    changed = _with_column(changed, "start", pa.array(starts))
    forged = _over(store, digest, commit.data.sha256, changed, step)
    (found,) = verify_manifest(store, forged, Level.L3).findings
    assert (found.level, found.kind) == (Level.L3, Kind.COUNT)
    assert "the end of document 7, of the manifest utf8-bytes@1 and 256" in found.what


def test_only_the_token_files_of_a_sample_are_read(store: Store, step: str, digest: str) -> None:
    report = verify_manifest(store, digest, Level.L3, sample=1)
    assert report.levels[2].checked["token files"] == 2


def test_a_manifest_over_another_step_s_index_is_the_same(store: Store, step: str) -> None:
    before = built(store, SPEC.format(step="made_tokens@1"))
    store.delete(index_file(step))
    assert built(store, SPEC.format(step="made_tokens@1")) == before
    build_index(store, step)
    assert built(store, SPEC.format(step="made_tokens@1")) == before
    assert Manifest(store, before).leaf("all").documents == sum(map(len, MADE))


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _over(store: Store, digest: str, old: str, table: pa.Table, step: str) -> str:
    """The manifest over this file in the place of one, so that every digest fits."""
    file = write_shard(store, partial(data_file, step), table)

    def change(rows: list[dict[str, object]]) -> None:
        (row,) = (row for row in rows if row["sha256"] == old)
        row |= {"sha256": file.sha256, "bytes": file.bytes}

    return with_rows(store, digest, "all", change)
