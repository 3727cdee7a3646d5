import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import ConfigError, ShardCorrupt
from manifests.layout import data_file
from manifests.select.cutting import WHOLE, cut
from manifests.select.rows import step_rows
from manifests.select.takedowns import removed_ids, take_down
from manifests.spec.types import Condition, Removal, SourceSpec, Strata
from manifests.store import Store, open_store
from tests.manifests.committed import address
from tests.manifests.selectable import (
    WORDS,
    assert_true_of_its_records,
    commit_records,
    expected_ids,
    ids_of,
    record,
)

SHARDS = [
    [record(f"{s}/{i}", lang="en" if i % 3 else "de", tokens=i, rounds=1 + i % 2) for i in range(9)]
    for s in range(4)
]


@pytest.fixture
def root(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def rows(root: Store) -> pa.Table:
    commit_records(root, SHARDS)
    return step_rows(root, address("make", "a"), WORDS.name).table


def test_leaves_lose_the_removed_records_and_nothing_else(root: Store, rows: pa.Table) -> None:
    odd = SourceSpec(
        name="odd", steps=("make",), where=(Condition(column="rounds", low=2, high=2),)
    )
    leaves = [rows, cut(root, odd, rows)[WHOLE]]
    gone = {SHARDS[0][2].id, SHARDS[0][3].id, SHARDS[2][1].id}
    told: list[tuple[int, int]] = []
    done = take_down(root, leaves, sorted(gone), lambda *count: told.append(count))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (done.records, done.missing) == ((3, 2), ())
    for leaf, before in zip(done.tables, leaves, strict=True):
        assert ids_of(root, leaf) == sorted(set(ids_of(root, before)) - gone)
        assert leaf["key"].to_pylist() == before["key"].to_pylist()
        assert leaf.schema.equals(rows.schema)
        assert_true_of_its_records(leaf, SHARDS)
    untouched = [row for row in done.tables[0].to_pylist() if row["slice_index"] in (1, 3)]
    assert untouched == [row for row in rows.to_pylist() if row["slice_index"] in (1, 3)]


def test_a_shard_that_loses_all_its_records_is_gone(root: Store, rows: pa.Table) -> None:
    english = cut(root, SourceSpec(name="x", steps=(), strata=Strata(by="lang")), rows)["en"]
    gone = [made.id for made in SHARDS[1] if made.lang == "en"]
    (left,) = take_down(root, [english], gone).tables
    assert ids_of(root, left) == expected_ids(
        [SHARDS[0], SHARDS[2], SHARDS[3]], lambda made: made.lang == "en"
    )
    assert 1 not in left["slice_index"].to_pylist()
    everything = [made.id for shard in SHARDS for made in shard]
    done = take_down(root, [rows], everything)
    assert (done.tables[0].num_rows, done.records) == (0, (36,))
    assert done.tables[0].schema.equals(rows.schema)


def test_ids_that_no_leaf_has_are_told(root: Store, rows: pa.Table) -> None:
    only_de = cut(root, SourceSpec(name="x", steps=(), strata=Strata(by="lang")), rows)["de"]
    english = SHARDS[0][1].id
    done = take_down(root, [only_de], ["no such record", english, SHARDS[0][0].id])
    assert done.missing == tuple(sorted(["no such record", english]))
    assert done.records == (1,)


def test_without_ids_nothing_is_read(root: Store, rows: pa.Table) -> None:
    for row in rows.to_pylist():
        root.delete(data_file(row["step"], row["sha256"]))
    done = take_down(root, [rows], [])
    assert (done.tables, done.records, done.missing) == ((rows,), (0,), ())


def test_a_shard_that_was_changed_does_not_hide_a_record(root: Store, rows: pa.Table) -> None:
    key = data_file(rows["step"][0].as_py(), rows["sha256"][0].as_py())
    root.put(key, root.get(key)[:-1] + b"x")
    with pytest.raises(ShardCorrupt):
        take_down(root, [rows], ["some record"])


def test_reports_of_all_kinds_give_their_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["p1", "p2"], "why": ["x", "y"]}), tmp_path / "a.parquet")
    lines = "\n".join(json.dumps({"id": name, "n": 1}) for name in ("j1", "j2"))
    (tmp_path / "b.jsonl").write_text(lines + "\n\n")
    (tmp_path / "c.txt").write_text("t1\n\n  t2 \r\np1\n")
    reports = [Removal(report=str(tmp_path / name)) for name in ("a.parquet", "b.jsonl")]
    reports.append(Removal(report=(tmp_path / "c.txt").as_uri()))
    removals = [Removal(records=("r2", "r1")), Removal(source="web"), *reports]
    assert removed_ids(removals) == ("j1", "j2", "p1", "p2", "r1", "r2", "t1", "t2")
    assert removed_ids([]) == ()


def test_a_report_is_read_from_a_bucket(bucket: str) -> None:
    open_store(f"s3://{bucket}").put("reports/gone.txt", b"one\ntwo\n")
    removal = Removal(report=f"s3://{bucket}/reports/gone.txt")
    assert removed_ids([removal]) == ("one", "two")


def test_reports_that_cannot_be_read_are_told_in_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["x"]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"id": ["x", None]}), tmp_path / "null.parquet")
    files = {
        "broken.parquet": b"PAR1",
        "bad.jsonl": b"{",
        "list.jsonl": b'["x"]',
        "number.jsonl": b'{"id": 3}',
        "bytes.txt": b"\xff\xfe",
        "ids.csv": b"id\nx\n",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in (*files, "other.parquet", "null.parquet", "missing.txt"):
        with pytest.raises(ConfigError, match=rf"report .*{name}: ") as error:
            removed_ids([Removal(report=str(tmp_path / name))])
        assert "\n" not in str(error.value)
