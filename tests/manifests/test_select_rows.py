import logging
from dataclasses import replace
from pathlib import Path

import pytest

from manifests.commits import publish
from manifests.errors import ConfigError, DataError
from manifests.index import build_index
from manifests.layout import index_file, step_file
from manifests.objects.ranges import SHARD_ROWS
from manifests.records import Bucket
from manifests.select.rows import step_rows
from manifests.store import Store, open_store
from tests.manifests.committed import address, commit_of, describe
from tests.manifests.selectable import (
    WORDS,
    assert_true_of_its_records,
    commit_records,
    record,
)

STEP = address("make", "a")
SHARDS = [
    [record(f"{s}/{i}", tokens=i * s, lang="ende"[s % 2 * 2 :][:2]) for i in range(1, 4)]
    for s in range(5)
]


@pytest.fixture
def root(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def test_a_step_gives_a_row_a_shard_by_key(store: Store) -> None:
    commits = commit_records(store, SHARDS)
    rows = step_rows(store, STEP, WORDS.name).table
    assert rows.schema.equals(SHARD_ROWS)
    assert rows["key"].to_pylist() == sorted(commit.task for commit in commits)
    by_key = {commit.task: commit for commit in commits}
    for row in rows.to_pylist():
        commit = by_key[row["key"]]
        assert (row["step"], row["slice_index"]) == (STEP, commit.slice_index)
        assert (row["sha256"], row["bytes"]) == (commit.data.sha256, commit.data.bytes)
        assert (row["rows"], row["documents"], row["picked"]) == (3, 3, b"")
    assert_true_of_its_records(rows, SHARDS)


def test_index_and_commits_give_the_same_rows(
    root: Store, caplog: pytest.LogCaptureFixture
) -> None:
    commit_records(root, SHARDS, index=False)
    with caplog.at_level(logging.WARNING):
        from_commits = step_rows(root, STEP, WORDS.name).table
    assert "complete but not indexed: reading 5 commits" in caplog.text
    build_index(root, STEP)
    assert step_rows(root, STEP, WORDS.name).table.equals(from_commits)


def test_shards_without_rows_are_left_out(root: Store) -> None:
    commit_records(root, [SHARDS[0], [], SHARDS[1]])
    assert sorted(step_rows(root, STEP, WORDS.name).table["slice_index"].to_pylist()) == [0, 2]


def test_a_step_that_is_not_complete_is_used_only_on_request(root: Store) -> None:
    commit_records(root, SHARDS)
    describe(root, STEP, 7)
    with pytest.raises(
        ConfigError, match=r"not complete: 5 of 7 slices have committed; .* partial"
    ):
        step_rows(root, STEP, WORDS.name)
    assert step_rows(root, STEP, WORDS.name, partial=True).table.num_rows == 5
    publish(root, commit_of(root, STEP, 5, {"x": [record("late")]}))
    # The index is behind; the commits are what counts.
    assert step_rows(root, STEP, WORDS.name, partial=True).table.num_rows == 6


def test_a_step_that_does_not_say_its_slices_is_used_only_on_request(root: Store) -> None:
    commit_records(root, SHARDS)
    root.delete(step_file(STEP))
    with pytest.raises(ConfigError, match=r"no step.json that says how many .* \(5 have committed"):
        step_rows(root, STEP, WORDS.name)
    assert step_rows(root, STEP, WORDS.name, partial=True).table.num_rows == 5


def test_tokens_must_be_those_of_the_mixture(root: Store) -> None:
    commit_records(root, SHARDS, tokenizer="bytes@1")
    with pytest.raises(ConfigError, match=rf"{STEP}: .* counted by bytes@1, .* by words@1"):
        step_rows(root, STEP, WORDS.name)
    commit_records(root, SHARDS, name="bare", tokenizer="")
    with pytest.raises(ConfigError, match="tokens were not counted; run it with --tokenizer"):
        step_rows(root, address("bare", "a"), WORDS.name)


def test_rows_that_are_no_records_are_refused(root: Store) -> None:
    describe(root, STEP, 1)
    commit = commit_of(root, STEP, 0, {"x": [record("x", bucket=Bucket.CODE)]})
    publish(root, replace(commit, row_type="seed"))
    build_index(root, STEP)
    with pytest.raises(ConfigError, match="holds rows of the type seed"):
        step_rows(root, STEP, WORDS.name)


def test_a_broken_index_is_told_with_its_remedy(root: Store) -> None:
    commit_records(root, SHARDS)
    data = root.get(index_file(STEP))
    flipped = bytearray(data)
    flipped[40] ^= 1
    for broken in (b"", data[:-9], bytes(flipped)):
        root.put(index_file(STEP), broken)
        with pytest.raises(DataError, match=rf"rebuild it with `manifest step index {STEP}`"):
            step_rows(root, STEP, WORDS.name)
