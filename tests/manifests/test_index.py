from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import DataError
from manifests.index import SCHEMA, build_index
from manifests.layout import commit_file, index_file
from manifests.store import Store, open_store
from tests.manifests.committed import STEP, address, commit_two_steps

VOLUMES = pa.list_(
    pa.field("element", pa.struct({"name": pa.string(), "rows": pa.int64(), "tokens": pa.int64()}))
)
LENGTHS = pa.list_(pa.field("element", pa.struct({"bin": pa.int32(), "count": pa.int64()})))
COMPOSITIONS = ("buckets", "generators", "sources", "licences", "languages", "teachers")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_the_index_has_a_row_a_commit_sorted_by_slice(store: Store) -> None:
    commits = commit_two_steps(store, slices=5)
    assert build_index(store, STEP) == 5
    table = pq.read_table(BytesIO(store.get(index_file(STEP))))
    rows = table.to_pylist()
    assert [row["slice_index"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["task"] for row in rows] == [commit.task for commit in commits]
    first = rows[0]
    assert (first["planned"], first["accepted"], first["quarantined"]) == (8, 6, 1)
    assert first["rejected"] == [{"name": "refusal", "count": 1}]
    assert (first["rows"], first["calls"], first["prompt_tokens"]) == (7, 7, 70)
    assert first["tokens"] == commits[0].stats.tokens
    assert first["tokens_p50"] == 4
    assert first["lengths"] == [
        {"bin": i, "count": n} for i, n in commits[0].stats.token_lengths.bins
    ]
    whole = {"rows": 7, "tokens": first["tokens"]}
    assert {name: first[name] for name in COMPOSITIONS} == {
        "buckets": [{"name": "web_rewrite", **whole}],
        "generators": [{"name": "rewrite@1", **whole}],
        "sources": [{"name": "web", **whole}],
        "licences": [{"name": "CC0-1.0", **whole}],
        "languages": [{"name": "en", **whole}],
        "teachers": [{"name": "", **whole}],
    }
    assert first["finish_reasons"] == [{"name": "stop", "count": 7}]
    assert first["digest"] == commits[0].digest


def test_an_index_is_rebuilt_to_the_same_bytes(store: Store) -> None:
    commit_two_steps(store)
    build_index(store, STEP)
    first = store.get(index_file(STEP))
    build_index(store, STEP)
    assert store.get(index_file(STEP)) == first


def test_compositions_and_lengths_have_the_types_of_a_manifests_tables(store: Store) -> None:
    commit_two_steps(store)
    build_index(store, STEP)
    schema = pq.read_schema(BytesIO(store.get(index_file(STEP))))
    assert {schema.field(name).type for name in COMPOSITIONS} == {VOLUMES}
    assert schema.field("lengths").type == LENGTHS
    assert schema.remove_metadata() == SCHEMA.remove_metadata()


def test_the_index_of_a_step_without_commits_is_empty(store: Store) -> None:
    assert build_index(store, address("nothing")) == 0
    table = pq.read_table(BytesIO(store.get(index_file(address("nothing")))))
    assert table.schema.names == SCHEMA.names


def test_no_index_is_made_of_a_broken_commit(store: Store) -> None:
    commit = commit_two_steps(store)[0]
    store.put(commit_file(STEP, commit.task), b"{}")
    with pytest.raises(DataError):
        build_index(store, STEP)
    assert not store.exists(index_file(STEP))
