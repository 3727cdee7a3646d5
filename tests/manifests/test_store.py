"""One contract for every store; what only one kind does is in test_store_<kind>.py."""

import pickle
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manifests.errors import ConfigError, NotInStore, StoreUnfit
from manifests.store import Store, open_store, probe
from manifests.stores.memory import MemoryStore


def test_what_is_put_is_what_is_got(store: Store) -> None:
    for data in (b"", b"one", secrets.token_bytes(300_000)):
        store.put("a/b.bin", data)
        assert store.get("a/b.bin") == data


def test_create_takes_the_first_and_refuses_the_rest(store: Store) -> None:
    assert store.create("commits/t.json", b"first") is True
    assert store.create("commits/t.json", b"second") is False
    assert store.create("commits/t.json", b"first") is False
    assert store.get("commits/t.json") == b"first"


def test_put_replaces_what_create_made(store: Store) -> None:
    assert store.create("refs/x", b"1")
    store.put("refs/x", b"2")
    assert store.get("refs/x") == b"2"
    assert store.create("refs/x", b"3") is False


def test_an_absent_object_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(NotInStore, match="no object a/missing in") as caught:
        store.get("a/missing")
    assert "\n" not in str(caught.value)


def test_a_prefix_is_not_an_object(store: Store) -> None:
    store.put("a/b/c", b"x")
    assert store.exists("a/b/c")
    assert not store.exists("a/b")
    assert not store.exists("a/b/c2")
    with pytest.raises(NotInStore):
        store.get("a/b")


def test_info_tells_size_and_age_without_reading(store: Store) -> None:
    before = time.time()
    store.put("a/x", b"12345")
    first = store.info("a/x")
    assert first.bytes == 5
    assert before - 2 <= first.modified <= time.time() + 2, "whole seconds on S3"
    assert store.create("a/x", b"1") is False
    assert store.info("a/x") == first
    store.put("a/x", b"1")
    assert store.info("a/x").bytes == 1
    assert store.info("a/x").modified >= first.modified


def test_info_of_what_is_no_object_names_it(store: Store) -> None:
    store.put("a/b/c", b"x")
    for key in ("a", "a/b", "a/b/c2", "a/b/c/d"):
        with pytest.raises(NotInStore, match=f"no object {key} in"):
            store.info(key)


def test_delete_is_idempotent_and_frees_the_name(store: Store) -> None:
    store.delete("never/there")
    store.put("a/x", b"1")
    store.delete("a/x")
    store.delete("a/x")
    assert not store.exists("a/x")
    assert store.create("a/x", b"2")


def test_list_is_sorted_and_relative_and_stays_below_the_prefix(store: Store) -> None:
    for key in ("a/x", "a-b/x", "a/b/z", "ab/x", "a/B"):
        store.put(key, b"")
    assert list(store.list("a/")) == ["a/B", "a/b/z", "a/x"]
    assert list(store.list("")) == ["a-b/x", "a/B", "a/b/z", "a/x", "ab/x"]
    assert list(store.list("a/x/")) == []
    assert list(store.list("none/")) == []


def test_list_sees_what_another_writer_just_wrote(store: Store) -> None:
    other = open_store(store.url)
    assert list(store.list("a/")) == []
    other.put("a/1", b"")
    assert list(store.list("a/")) == ["a/1"]
    assert store.exists("a/1")
    other.delete("a/1")
    assert list(store.list("a/")) == []
    assert not store.exists("a/1")


def test_of_eight_racing_creators_one_wins_and_its_bytes_stay(store: Store) -> None:
    for round_ in range(10):
        barrier = threading.Barrier(8)

        def race(number: int, round_: int = round_, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return store.create(f"race/{round_}", f"writer {number}".encode())

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(race, range(8)))
        assert sum(won) == 1
        assert store.get(f"race/{round_}") == f"writer {won.index(True)}".encode()


def test_a_store_survives_pickling(store: Store) -> None:
    store.put("a/x", b"1")
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert copy.url == store.url
    assert copy.get("a/x") == b"1"


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".tmp/a", "a/.b", "a b", "a?b", "a*", "a\n"]
)
def test_what_is_not_a_key_is_refused(store: Store, key: str) -> None:
    for act in (store.get, store.exists, store.info, store.delete):
        with pytest.raises(ValueError, match="not a store key"):
            act(key)
    for write in (store.put, store.create):
        with pytest.raises(ValueError, match="not a store key"):
            write(key, b"")


def test_a_prefix_needs_its_slash(store: Store) -> None:
    with pytest.raises(ValueError, match="not a store prefix"):
        list(store.list("a"))


def test_the_probe_passes_and_leaves_nothing(store: Store) -> None:
    probe(store)
    assert list(store.list("")) == []


class Forgetful(MemoryStore):
    """A store that overwrites on create, as an old S3 clone does."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


def test_the_probe_refuses_a_store_that_overwrites() -> None:
    with pytest.raises(StoreUnfit, match="8 of 8 racing creates"):
        probe(Forgetful("forgetful"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "root is empty"),
        ("ftp://host/x", "ftp://"),
        ("http://host/x", "not known to create objects only if absent"),
        ("s3:/bucket", "two slashes"),
        ("s3://", "not a bucket"),
        ("s3://bucket//x", "not a bucket"),
        ("s3://bucket/a?b", "not a bucket"),
        ("gs://bucket/x", "gcsfs"),
        ("az://container/x", "adlfs"),
    ],
)
def test_a_root_that_cannot_be_is_refused_in_one_line(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="is a file"):
            open_store(str(root))


def test_a_file_url_and_its_path_are_one_store(tmp_path: Path) -> None:
    open_store((tmp_path / "with space").as_uri()).put("a", b"1")
    assert open_store(str(tmp_path / "with space")).get("a") == b"1"
