import ast
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import manifests.verify
from manifests import id_keys, layout, raw_files, raw_token_files, verify_taken
from manifests.commits import Commit, InputShard, publish, task_id
from manifests.errors import ConfigError, ServiceError
from manifests.raw_files import RawFiles
from manifests.records import Reject
from manifests.shards import read_shard, write_shard
from manifests.store import Store, open_store
from manifests.tables import to_table
from manifests.verify import Report, Verifier
from tests.manifests.committed import (
    SOURCE,
    STEP,
    address,
    commit_of,
    commit_two_steps,
    describe,
    input_of,
    item,
    record,
    reject,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def commits(store: Store) -> list[Commit]:
    return commit_two_steps(store)


def verified(store: Store, step: str = STEP, *, complete: bool = True) -> Report:
    return Verifier(RawFiles(store.url)).verify(step, complete=complete)


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def said(report: Report) -> str:
    return "\n".join(report.lines())


def rewrite(store: Store, commit: Commit, **changes: object) -> Commit:
    """Put another commit in the place of this one, as only a bug or a vandal would."""
    changed = replace(commit, **changes)
    store.put(layout.commit_file(commit.step, commit.task), changed.to_json())
    return changed


def with_data(store: Store, commit: Commit, change: Callable[[pa.Table], pa.Table]) -> Commit:
    """The commit over changed data, with a ledger and a shard that know only the rows."""
    table = read_shard(store, layout.data_file(commit.step, commit.data.sha256), commit.data)
    data = write_shard(store, partial(layout.data_file, commit.step), change(table))
    return rewrite(store, commit, data=data, ledger=replace(commit.ledger, rows=data.rows))


def with_rejects(store: Store, commit: Commit, rows: Sequence[Reject]) -> Commit:
    table = to_table(rows, cls=Reject)
    rejects = write_shard(store, partial(layout.rejects_file, commit.step), table)
    return rewrite(store, commit, rejects=rejects)


def test_complete_steps_have_no_findings(store: Store, commits: list[Commit]) -> None:
    reports = list(Verifier(RawFiles(store.url)).verify_all(STEP, complete=True))
    assert [report.step for report in reports] == [STEP, SOURCE]
    assert [report.findings for report in reports] == [[], []]
    second = reports[0]
    assert second.complete
    assert (second.planned, second.accepted, second.rejected, second.quarantined) == (24, 18, 3, 3)
    assert (second.committed, second.rows, second.orphans) == (3, 21, 0)


def test_an_object_store_is_verified_as_well(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/root")
    commits = commit_two_steps(store, slices=2)
    assert verified(store).findings == []
    store.delete(layout.data_file(STEP, commits[1].data.sha256))
    assert kinds(verified(store)) == {"lost"}
    assert RawFiles(store.url).resolve("rewrite@1/b") == STEP


@pytest.mark.parametrize("part", ["data", "rejects"])
@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_is_found(
    store: Store, commits: list[Commit], part: str, place: float
) -> None:
    shard = getattr(commits[1], part)
    key = f"{STEP}/{part}/{shard.sha256}.parquet"
    data = bytearray(store.get(key))
    data[int(place * len(data))] ^= 1
    store.put(key, bytes(data))
    report = verified(store)
    assert kinds(report) == {"corrupt"}
    # Equal rejects are one object: every commit that names it is told of.
    assert shard.sha256 in said(report)


@pytest.mark.parametrize("part", ["data", "rejects"])
def test_a_removed_shard_is_found(store: Store, commits: list[Commit], part: str) -> None:
    shard = getattr(commits[1], part)
    store.delete(f"{STEP}/{part}/{shard.sha256}.parquet")
    report = verified(store)
    assert kinds(report) == {"lost"}
    assert f"no object {STEP}/{part}/{shard.sha256}" in said(report)


def test_a_truncated_shard_is_found(store: Store, commits: list[Commit]) -> None:
    key = layout.data_file(STEP, commits[0].data.sha256)
    store.put(key, store.get(key)[:-1])
    assert "bytes, committed" in said(verified(store))


def test_a_page_that_breaks_its_checksum_is_found_though_the_sha256_is_that_of_the_bytes(
    store: Store, commits: list[Commit]
) -> None:
    commit = commits[0]
    data = bytearray(store.get(layout.data_file(STEP, commit.data.sha256)))
    columns = pq.ParquetFile(BytesIO(data)).metadata.row_group(0)
    texts = next(
        columns.column(i)
        for i in range(columns.num_columns)
        if columns.column(i).path_in_schema == "text"
    )
    data[texts.dictionary_page_offset + texts.total_compressed_size - 1] ^= 1
    changed = hashlib.sha256(data).hexdigest()
    store.put(layout.data_file(STEP, changed), bytes(data))
    rewrite(store, commit, data=replace(commit.data, sha256=changed))
    report = verified(store)
    assert kinds(report) == {"corrupt"}
    assert "CRC" in said(report)


def test_a_row_that_is_there_twice_is_found(store: Store, commits: list[Commit]) -> None:
    with_data(store, commits[0], lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    report = verified(store)
    assert kinds(report) == {"twice"}
    assert commits[0].task in said(report)


def test_a_row_in_two_shards_is_found(store: Store, commits: list[Commit]) -> None:
    first = read_shard(store, layout.data_file(STEP, commits[0].data.sha256), commits[0].data)
    stolen = first["id"][0].as_py()

    def steal(table: pa.Table) -> pa.Table:
        ids = [stolen, *table["id"].to_pylist()[1:]]
        return table.set_column(table.schema.get_field_index("id"), "id", [ids])

    with_data(store, commits[1], steal)
    report = verified(store)
    assert kinds(report) == {"twice"}
    assert {task for task in (commits[0].task, commits[1].task) if task in said(report)} == {
        commits[0].task,
        commits[1].task,
    }
    assert stolen in said(report)


def test_an_item_that_went_nowhere_is_found(store: Store, commits: list[Commit]) -> None:
    commit = commits[0]
    last = commit.ledger
    fewer = replace(last, planned=last.planned - 1, accepted=last.accepted - 1, rows=last.rows - 1)
    with_data(store, commit, lambda table: table.slice(0, table.num_rows - 1))
    report = verified(store)
    assert kinds(report) == {"lost", "ledger"}
    table = read_shard(store, layout.data_file(STEP, commit.data.sha256), commit.data)
    dropped = table["item_id"][-1].as_py()
    assert f"neither accepted nor refused: {dropped}" in said(report)
    # A ledger that keeps silent about it does not help.
    standing = with_data(store, commit, lambda table: table.slice(0, table.num_rows - 1))
    rewrite(store, standing, ledger=fewer)
    assert kinds(verified(store)) == {"lost"}


def test_an_item_that_no_input_has_is_found(store: Store, commits: list[Commit]) -> None:
    commit = commits[0]
    table = read_shard(store, layout.rejects_file(STEP, commit.rejects.sha256), commit.rejects)
    rows = [
        reject(name, reason)
        for name, reason in zip(
            table["item_id"].to_pylist(), table["reason"].to_pylist(), strict=True
        )
    ]
    with_rejects(store, commit, [*rows, reject(item("alien"), "judge")])
    changed = json.loads(store.get(layout.commit_file(STEP, commit.task)))
    changed["ledger"]["planned"] += 1
    changed["ledger"]["rejected"]["judge"] = 1
    store.put(layout.commit_file(STEP, commit.task), json.dumps(changed).encode())
    report = verified(store)
    assert kinds(report) == {"ledger"}
    assert item("alien") in said(report)


def test_an_item_both_accepted_and_refused_is_found(store: Store, commits: list[Commit]) -> None:
    commit = commits[0]
    table = read_shard(store, layout.data_file(STEP, commit.data.sha256), commit.data)
    accepted = table["item_id"][0].as_py()
    with_rejects(store, commit, [reject(accepted, "refusal"), reject(accepted, "poison")])
    report = verified(store)
    assert "both accepted and refused" in said(report)
    assert "refused more than once" in said(report)
    assert kinds(report) == {"twice", "lost"}


@pytest.mark.parametrize("name", ["planned", "accepted", "quarantined", "rows"])
def test_an_edited_ledger_is_found(store: Store, commits: list[Commit], name: str) -> None:
    ledger = commits[2].ledger
    rewrite(store, commits[2], ledger=replace(ledger, **{name: getattr(ledger, name) + 1}))
    report = verified(store)
    assert kinds(report) == {"ledger"}
    assert f"{name}: " in said(report)


def test_other_reasons_than_in_the_rejects_are_found(store: Store, commits: list[Commit]) -> None:
    rewrite(store, commits[2], ledger=replace(commits[2].ledger, rejected={"judge": 1}))
    assert "rejected: {'judge': 1} committed, {'refusal': 1} in the rows" in said(verified(store))


def test_a_wrong_number_of_rows_in_a_commit_is_found(store: Store, commits: list[Commit]) -> None:
    rewrite(store, commits[2], data=replace(commits[2].data, rows=99))
    assert kinds(verified(store)) == {"ledger"}


def test_a_second_commit_of_a_task_under_another_name_is_found(
    store: Store, commits: list[Commit]
) -> None:
    copy = store.get(layout.commit_file(STEP, commits[0].task))
    store.put(layout.commit_file(STEP, "0" * 32), copy)
    report = verified(store)
    assert kinds(report) == {"twice", "corrupt"}
    assert "slice 0: 2 commit files claim it" in said(report)
    assert report.committed == 3


def test_a_commit_of_another_step_is_found(store: Store, commits: list[Commit]) -> None:
    foreign = task_id(SOURCE, 0)
    data = store.get(layout.commit_file(SOURCE, foreign))
    store.put(layout.commit_file(STEP, foreign), data)
    assert "corrupt" in kinds(verified(store))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b"null"])
def test_a_commit_file_that_is_none_is_found(
    store: Store, commits: list[Commit], data: bytes
) -> None:
    store.put(layout.commit_file(STEP, commits[1].task), data)
    report = verified(store, complete=False)
    assert kinds(report) == {"corrupt"}
    assert report.committed == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("slice_index",), -1),
        (("slice_index",), True),
        (("data", "sha256"), None),
        (("data", "bytes"), "1"),
        (("ledger", "rejected"), []),
        (("inputs",), None),
        (("ledger",), None),
    ],
)
def test_a_commit_with_a_field_of_the_wrong_kind_is_found(
    store: Store, commits: list[Commit], path: tuple[str, ...], value: object
) -> None:
    key = layout.commit_file(STEP, commits[1].task)
    commit = json.loads(store.get(key))
    place = commit
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    store.put(key, json.dumps(commit).encode())
    assert "corrupt" in kinds(verified(store, complete=False))


def test_a_slice_that_has_not_committed_matters_only_if_all_should_have(
    store: Store, commits: list[Commit]
) -> None:
    store.delete(layout.commit_file(STEP, commits[1].task))
    partial_report = verified(store, complete=False)
    assert partial_report.findings == []
    assert "partial, 2 of 3 slices" in said(partial_report)
    assert partial_report.orphans == 2
    report = verified(store)
    assert kinds(report) == {"lost"}
    assert "not committed, of 3: 1" in said(report)


def test_a_slice_that_was_not_planned_is_found(store: Store, commits: list[Commit]) -> None:
    describe(store, STEP, 2)
    report = verified(store, complete=False)
    assert "not planned, of 2: 2" in said(report)


def test_a_step_that_does_not_say_its_slices_is_found(store: Store, commits: list[Commit]) -> None:
    store.delete(layout.step_file(STEP))
    report = verified(store, complete=False)
    assert kinds(report) == {"corrupt"}
    assert not report.complete


def test_objects_that_no_commit_names_are_only_counted(store: Store, commits: list[Commit]) -> None:
    commit_of(store, STEP, 0, {item("late"): [record(item("late"))]})
    report = verified(store)
    assert report.findings == []
    assert report.orphans == 2


def test_an_input_that_two_tasks_read_is_found(store: Store, commits: list[Commit]) -> None:
    rewrite(store, commits[1], inputs=commits[0].inputs)
    report = verified(store)
    assert "was read by 2 tasks" in said(report)
    assert {"twice", "lost", "ledger"} == kinds(report)


def test_an_input_shard_that_no_task_read_is_found_once_the_step_is_complete(
    store: Store, commits: list[Commit]
) -> None:
    publish(store, commit_of(store, SOURCE, 3, {item("late"): [record(item("late"))]}))
    report = verified(store)
    assert kinds(report) == {"lost"}
    assert f"not read: {task_id(SOURCE, 3)}" in said(report)
    store.delete(layout.commit_file(STEP, commits[1].task))
    assert verified(store, complete=False).findings == []


def test_an_input_that_is_not_what_its_task_committed_is_found(
    store: Store, commits: list[Commit]
) -> None:
    """The bytes that were read exist, but another commit stands."""
    first = commits[0].inputs[0]
    other = commit_of(store, SOURCE, 0, {item("x"): [record(item("x"))]})
    store.put(layout.commit_file(SOURCE, first.task), other.to_json())
    assert "it read other bytes than" in said(verified(store))
    store.delete(layout.commit_file(SOURCE, first.task))
    assert f"{SOURCE}: no commit" in said(verified(store))


def test_a_fault_in_an_input_is_found_with_the_inputs(store: Store, commits: list[Commit]) -> None:
    source = Commit.from_json(store.get(layout.commit_file(SOURCE, task_id(SOURCE, 0))), "here")
    rewrite(store, source, ledger=replace(source.ledger, planned=9))
    assert verified(store).findings == []
    reports = list(Verifier(RawFiles(store.url)).verify_all(STEP, complete=True))
    assert [kinds(report) for report in reports] == [set(), {"ledger"}]


def test_a_task_may_read_several_shards(store: Store, commits: list[Commit]) -> None:
    inputs: list[InputShard] = [input_of(commit) for commit in commits]
    tables = [
        read_shard(store, layout.data_file(STEP, commit.data.sha256), commit.data)
        for commit in commits
    ]
    names = [name for table in tables for name in table["id"].to_pylist()]
    step = address("merge", "c")
    describe(store, step, 1)
    publish(store, commit_of(store, step, 0, {n: [record(n)] for n in names}, inputs=inputs))
    reports = list(Verifier(RawFiles(store.url)).verify_all(step, complete=True))
    assert [report.step for report in reports] == [step, STEP, SOURCE]
    assert not any(report.findings for report in reports)


def test_a_step_in_which_nothing_was_accepted_is_fine(store: Store) -> None:
    describe(store, SOURCE, 2)
    publish(store, commit_of(store, SOURCE, 0, {}, {item(1): "empty"}))
    publish(store, commit_of(store, SOURCE, 1, {}))
    assert verified(store, SOURCE).findings == []


def test_ids_of_any_form_are_compared(store: Store) -> None:
    describe(store, SOURCE, 1)
    rows = {
        "https://example.org/ä": [record("a")],
        "F" * 32: [record("b")],
        "f" * 32: [record("c")],
    }
    publish(store, commit_of(store, SOURCE, 0, rows, {"file.txt#7": "empty"}))
    assert verified(store, SOURCE).findings == []


def test_keys_do_not_depend_on_how_the_other_ids_of_a_column_look() -> None:
    plain = [item(i) for i in range(5)]
    alone = id_keys.keys_of(pa.chunked_array([plain]))
    mixed = id_keys.keys_of(pa.chunked_array([plain, ["x", plain[0].upper()]]))
    sliced = id_keys.keys_of(pa.chunked_array([["x", *plain]]).slice(1))
    assert alone.tolist() == mixed[:5].tolist() == sliced.tolist()
    assert len(id_keys.unique(mixed)) == 7
    assert id_keys.shown(alone[:1], 3) == plain[0]


@pytest.mark.parametrize("text", [STEP, STEP + "/", "rewrite@1/" + "b" * 32, "rewrite@1/bb"])
def test_a_step_may_be_named_by_a_part_of_its_address(
    store: Store, commits: list[Commit], text: str
) -> None:
    assert RawFiles(store.url).resolve(text) == STEP


def test_a_part_that_means_several_steps_or_none_is_a_mistake(
    store: Store, commits: list[Commit]
) -> None:
    describe(store, f"steps/rewrite@1/bc{'0' * 30}", 1)
    with pytest.raises(ConfigError, match="2 steps fit"):
        RawFiles(store.url).resolve("rewrite@1/b")
    with pytest.raises(ConfigError, match=f"no step.*{SOURCE}"):
        RawFiles(store.url).resolve("rewrite@2/b")
    with pytest.raises(ConfigError, match="no step"):
        RawFiles(store.url).resolve("rewrit")


def test_a_root_that_cannot_be_opened_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="cannot open the root"):
        RawFiles("nonsense://bucket")


def test_an_object_that_cannot_be_read_is_a_failure_and_no_finding(
    store: Store, commits: list[Commit]
) -> None:
    key = layout.data_file(STEP, commits[0].data.sha256)
    store.delete(key)
    (Path(store.url) / key).mkdir()
    with pytest.raises(ServiceError, match="cannot read"):
        verified(store)


def test_progress_is_told_after_every_commit(store: Store, commits: list[Commit]) -> None:
    told: list[tuple[str, int, int]] = []
    Verifier(RawFiles(store.url)).verify(
        STEP, complete=False, progress=lambda step, done, total: told.append((step, done, total))
    )
    assert told == [(STEP, 1, 3), (STEP, 2, 3), (STEP, 3, 3)]


def test_the_verifier_shares_no_code_with_what_it_checks() -> None:
    def imported(module: object) -> set[str]:
        tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))  # type: ignore[attr-defined]
        names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        return {name for name in names if name.startswith("manifests")}

    own = {
        "manifests.raw_files",
        "manifests.raw_token_files",
        "manifests.id_keys",
        "manifests.verify_taken",
    }
    assert imported(manifests.verify) == own
    assert imported(verify_taken) == {"manifests.id_keys"}
    assert imported(raw_files) == {"manifests.errors", "manifests.raw_token_files"}
    assert imported(raw_token_files) == set()
    assert imported(id_keys) == set()


def test_a_column_with_an_empty_place_is_found(store: Store, commits: list[Commit]) -> None:
    def blank(table: pa.Table) -> pa.Table:
        ids = [None, *table["item_id"].to_pylist()[1:]]
        place = table.schema.get_field_index("item_id")
        return table.set_column(place, "item_id", pa.array(ids, pa.string()))

    with_data(store, commits[0], blank)
    assert kinds(verified(store)) == {"corrupt"}


def test_a_shard_without_the_column_is_found(store: Store, commits: list[Commit]) -> None:
    with_data(store, commits[0], lambda table: table.drop_columns(["item_id"]))
    assert kinds(verified(store)) == {"corrupt"}
