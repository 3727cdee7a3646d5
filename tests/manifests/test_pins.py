import pytest

from manifests.errors import ConfigError, DataError, NotInStore
from manifests.objects.pins import Pin, pin, pinned, pins, unpin
from manifests.objects.tree import Objects
from manifests.store import Store
from tests.manifests.tables_of_shards import small_manifest


def test_who_needs_a_manifest_holds_it_until_they_let_it_go(store: Store) -> None:
    a, b = (small_manifest(Objects(store), number) for number in range(2))
    assert pins(store) == []
    pin(store, a, "run-7", "monday")
    pin(store, a, "run-7@step=1000", "tuesday")
    pin(store, b, "run-7", "tuesday")
    pin(store, a, "run-7", "wednesday")
    assert pins(store, a) == [
        Pin(digest=a, who="run-7", at="monday"),
        Pin(digest=a, who="run-7@step=1000", at="tuesday"),
    ]
    assert {found.digest for found in pins(store)} == set(pinned(store)) == {a, b}
    unpin(store, a, "run-7")
    unpin(store, a, "run-7")
    unpin(store, b, "run-7")
    assert [found.who for found in pins(store)] == ["run-7@step=1000"]


def test_only_a_whole_manifest_is_pinned_by_somebody_with_a_name(store: Store) -> None:
    a = small_manifest(Objects(store))
    for who in ("", "a/b", "../a", ".a", "a b", "x" * 201):
        with pytest.raises(ConfigError, match="cannot hold a manifest"):
            pin(store, a, who, "monday")
    with pytest.raises(NotInStore):
        pin(store, "0" * 64, "run-7", "monday")
    with pytest.raises(ValueError, match="not the digest"):
        unpin(store, "..", "run-7")
    assert pins(store) == []


def test_a_broken_pin_is_an_error_and_not_no_pin(store: Store) -> None:
    a = small_manifest(Objects(store))
    pin(store, a, "run-7", "monday")
    for data in (b"", b"[]", b'{"who":"run-7"}', b'{"at":"","digest":"0","who":"run-7"}'):
        store.put(f"manifests/pins/{a}/run-7.json", data)
        with pytest.raises(DataError, match=r"run-7\.json"):
            pins(store)
        assert list(pinned(store)) == [a], "its name alone keeps the manifest"
    store.put("manifests/pins/what", b"")
    with pytest.raises(DataError, match="not the name of a pin"):
        list(pinned(store))
