import secrets

import pytest

from manifests.build.layered import Layered
from manifests.errors import NotInStore
from manifests.store import Store, open_store


@pytest.fixture
def below() -> Store:
    store = open_store(f"memory://{secrets.token_hex(6)}")
    store.put("a/old", b"old")
    store.put("a/shared", b"below")
    return store


def test_what_is_written_is_seen_and_never_reaches_the_store_below(below: Store) -> None:
    over = Layered(below)
    over.put("a/shared", b"above")
    assert over.create("a/new", b"new")
    assert not over.create("a/old", b"other")
    assert {key: over.get(key) for key in over.list("a/")} == {
        "a/new": b"new",
        "a/old": b"old",
        "a/shared": b"above",
    }
    assert [over.info(key).bytes for key in over.list("a/")] == [3, 3, 5]
    assert {key: below.get(key) for key in below.list("")} == {
        "a/old": b"old",
        "a/shared": b"below",
    }
    assert list(over.new.list("")) == ["a/new", "a/shared"]


def test_only_what_was_written_can_be_taken_back(below: Store) -> None:
    over = Layered(below)
    over.put("a/new", b"new")
    over.delete("a/new")
    over.delete("a/never")
    assert not over.exists("a/new")
    with pytest.raises(PermissionError, match="a/old is below a plan"):
        over.delete("a/old")
    with pytest.raises(NotInStore):
        over.get("a/new")
