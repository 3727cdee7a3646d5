import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.commits import Commit, Ledger, publish, read_commit, read_commits, task_id
from manifests.errors import DataError, StoreFull
from manifests.layout import commit_file
from manifests.store import Store, open_store
from manifests.stores.local import LocalStore
from tests.manifests.committed import SOURCE, STEP, commit_of, commit_two_steps, item, record

COUNTS = st.dictionaries(st.sampled_from(["judge", "parse"]), st.integers(0, 9))
LEDGERS = st.builds(
    Ledger,
    planned=st.integers(0, 9),
    accepted=st.integers(0, 9),
    rejected=COUNTS,
    quarantined=st.integers(0, 9),
    rows=st.integers(0, 9),
)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def one_commit(store: Store, nonce: str = "one", text: str = "text") -> Commit:
    name = item(1)
    return commit_of(store, SOURCE, 0, {name: [record(name, text=text)]}, nonce=nonce)


def test_a_task_is_named_by_its_step_and_slice() -> None:
    names = {task_id(step, number) for step in (SOURCE, STEP) for number in range(20)}
    assert len(names) == 40
    assert task_id("steps/a@1/00", 7) == "d096fb9d8bccd40ae722b1ca9c48bd55"


@given(LEDGERS, LEDGERS, LEDGERS)
def test_ledgers_add_up_in_any_order(a: Ledger, b: Ledger, c: Ledger) -> None:
    assert (a + b) + c == c + (b + a)
    assert a + Ledger() == a
    if a.balanced and b.balanced:
        assert (a + b).balanced


def test_a_ledger_balances_when_every_item_went_somewhere() -> None:
    ledger = Ledger(planned=6, accepted=2, rejected={"judge": 2, "parse": 1}, quarantined=1, rows=9)
    assert ledger.balanced
    assert not replace(ledger, planned=7).balanced


def test_a_published_commit_is_read_back_equal(store: Store) -> None:
    commit = one_commit(store)
    assert read_commit(store, SOURCE, commit.task) is None
    assert publish(store, commit) == commit
    assert read_commit(store, SOURCE, commit.task) == commit
    assert list(read_commits(store, SOURCE)) == [commit]


def test_the_first_commit_stands(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    first = publish(store, one_commit(store, nonce="one"))
    assert publish(store, one_commit(store, nonce="two")) == first
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert publish(store, one_commit(store, nonce="two", text="other")) == first
    assert "the first stands" in caplog.text


def test_of_many_racing_writers_one_wins_and_all_are_told_which(local: Store) -> None:
    commits = [one_commit(local, nonce=str(number)) for number in range(16)]
    with ThreadPoolExecutor(16) as writers:
        standing = list(writers.map(lambda commit: publish(local, commit), commits))
    assert len({commit.nonce for commit in standing}) == 1


class LostReplies(LocalStore):
    """A store whose `create` works, or fails, but always looks as if it failed."""

    works = True

    def create(self, key: str, data: bytes) -> bool:
        if self.works:
            super().create(key, data)
        raise StoreFull("the reply was lost")


def test_a_commit_whose_reply_was_lost_is_known_by_its_nonce(tmp_path: Path) -> None:
    store = LostReplies(tmp_path)
    commit = one_commit(store)
    assert publish(store, commit) == commit
    store.works = False
    assert publish(store, replace(commit, nonce="two")) == commit


def test_a_failure_that_left_no_commit_is_raised(tmp_path: Path) -> None:
    store = LostReplies(tmp_path)
    store.works = False
    with pytest.raises(StoreFull):
        publish(store, one_commit(store))


def test_an_unbalanced_ledger_or_a_foreign_task_is_never_published(local: Store) -> None:
    commit = one_commit(local)
    with pytest.raises(ValueError, match="does not balance"):
        publish(local, replace(commit, ledger=replace(commit.ledger, planned=2)))
    with pytest.raises(ValueError, match="is not slice 1"):
        publish(local, replace(commit, slice_index=1))
    assert list(read_commits(local, SOURCE)) == []


def test_the_same_work_gives_the_same_commit_but_for_the_nonce(tmp_path: Path) -> None:
    one = one_commit(open_store(str(tmp_path / "a")), nonce="one")
    two = one_commit(open_store(str(tmp_path / "b")), nonce="two")
    assert one.digest == two.digest
    assert replace(two, nonce="one").to_json() == one.to_json()
    assert replace(one, row_type="seed").digest != one.digest


def test_many_commits_are_read_in_the_order_of_their_tasks(local: Store) -> None:
    commit = one_commit(local)
    for number in range(200):
        named = replace(commit, slice_index=number, task=task_id(SOURCE, number))
        publish(local, named)
    tasks = [commit.task for commit in read_commits(local, SOURCE)]
    assert tasks == sorted(task_id(SOURCE, number) for number in range(200))


def test_an_empty_shard_is_committed_too(local: Store) -> None:
    commit = publish(local, commit_of(local, SOURCE, 0, {}))
    assert (commit.data.rows, commit.rejects.rows, commit.ledger.planned) == (0, 0, 0)
    assert local.exists(f"{SOURCE}/data/{commit.data.sha256}.parquet")
    assert local.exists(f"{SOURCE}/rejects/{commit.rejects.sha256}.parquet")


def broken(commit: Commit) -> dict[str, bytes]:
    def edited(**changes: object) -> bytes:
        return json.dumps({**json.loads(commit.to_json()), **changes}).encode()

    data = json.loads(commit.to_json())
    stats = {**data["stats"], "distinct": {"registers": "17"}}
    return {
        "empty": b"",
        "cut": commit.to_json()[:-5],
        "not an object": b"[]",
        "an unknown field": edited(zzz=1),
        "an unknown field inside": edited(data={**data["data"], "zzz": 1}),
        "a number as text": edited(slice_index="0"),
        "with spaces": edited(),
        "a broken sketch": edited(stats=stats),
    }


@pytest.mark.parametrize("fault", broken(one_commit(open_store("memory://faults"))))
def test_a_broken_commit_file_is_an_error_that_names_it(local: Store, fault: str) -> None:
    commit = one_commit(local)
    key = commit_file(SOURCE, commit.task)
    local.put(key, broken(commit)[fault])
    with pytest.raises(DataError, match=key):
        read_commit(local, SOURCE, commit.task)


def test_a_commit_under_another_tasks_name_is_an_error(local: Store) -> None:
    commit = one_commit(local)
    other = task_id(SOURCE, 1)
    local.put(commit_file(SOURCE, other), commit.to_json())
    with pytest.raises(DataError, match="do not agree"):
        read_commit(local, SOURCE, other)
    with pytest.raises(DataError, match="do not agree"):
        list(read_commits(local, SOURCE))


def test_commits_of_both_steps_survive_their_json(local: Store) -> None:
    for commit in commit_two_steps(local):
        assert Commit.from_json(commit.to_json(), "here") == commit
