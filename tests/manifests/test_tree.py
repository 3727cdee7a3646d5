import io
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.errors import ConfigError, NotInStore, ShardCorrupt
from manifests.fingerprint import sha256
from manifests.layout import object_file
from manifests.objects.tree import GRACE_SECONDS, Objects
from manifests.store import Store, open_store
from tests.manifests.tables_of_shards import Clock


@pytest.fixture
def objects() -> Objects:
    return Objects(open_store(f"memory://{secrets.token_hex(6)}"))


def test_what_is_put_is_read_back_and_named_by_its_content(store: Store) -> None:
    objects = Objects(store)
    kept = objects.put(b"some bytes", "toml")
    assert (kept.digest, kept.bytes, kept.media) == (sha256(b"some bytes"), 10, "toml")
    assert objects.put(b"some bytes", "toml") == kept
    assert objects.get(kept) == objects.get_by_digest(kept.digest, "toml") == b"some bytes"
    assert list(store.list("")) == [f"manifests/objects/{kept.digest[:2]}/{kept.digest}.toml"]


def test_json_is_canonical(objects: Objects) -> None:
    kept = objects.put_json({"b": [1, "ä"], "a": None})
    assert objects.put_json({"a": None, "b": [1, "ä"]}) == kept
    assert objects.get(kept) == '{"a":null,"b":[1,"ä"]}'.encode()
    assert objects.get_json(kept) == {"a": None, "b": [1, "ä"]}


@pytest.mark.parametrize("numbers", [[], [5], [-(2**63), 0, 2**63 - 1]])
def test_arrays_come_back_and_any_numpy_reads_them(objects: Objects, numbers: list[int]) -> None:
    array = np.array(numbers, dtype=np.int64)
    kept = objects.put_npy(array)
    assert objects.put_npy(np.repeat(array, 2)[::2]) == kept, "same numbers, other strides"
    assert objects.get_npy(kept).tolist() == numbers
    assert not objects.get_npy(kept).flags.writeable
    assert np.load(io.BytesIO(objects.get(kept)), allow_pickle=False).tolist() == numbers


def test_an_array_of_a_local_store_can_be_mapped(tmp_path: Path) -> None:
    objects = Objects(open_store(str(tmp_path)))
    kept = objects.put_npy(np.arange(1000))
    mapped = np.load(tmp_path / object_file(kept.digest, "npy"), mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert mapped[999] == 999


def test_only_rows_of_int64_are_arrays(objects: Objects) -> None:
    others: tuple[Any, ...] = (np.zeros((2, 2), np.int64), np.zeros(2, np.int32), np.zeros(2))
    for wrong in others:
        with pytest.raises(ValueError, match="only int64 arrays of one dimension"):
            objects.put_npy(wrong)
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    with pytest.raises(ShardCorrupt, match="no int64 array"):
        objects.get_npy(objects.put(out.getvalue(), "npy"))


def test_every_flipped_bit_and_every_cut_is_found(objects: Objects) -> None:
    data = secrets.token_bytes(40)
    kept = objects.put(data, "json")
    key = object_file(kept.digest, "json")
    flips = [
        data[:i] + bytes([data[i] ^ 1 << b]) + data[i + 1 :] for i in range(40) for b in (0, 7)
    ]
    for broken in (*flips, data[:-1], data + b"\0", b""):
        objects.store.put(key, broken)
        with pytest.raises(ShardCorrupt, match="sha256"):
            objects.get(kept)
    objects.store.delete(key)
    with pytest.raises(NotInStore, match=kept.digest):
        objects.get(kept)


def test_what_was_cut_short_is_whole_after_the_next_put(objects: Objects) -> None:
    kept = objects.put(b"whole", "json")
    objects.store.put(object_file(kept.digest, "json"), b"who")
    objects.put(b"whole", "json")
    assert objects.get(kept) == b"whole"


def test_an_old_object_is_young_again_when_somebody_relies_on_it(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    begun = clock.now
    kept = objects.put(b"x", "json")
    key = object_file(kept.digest, "json")
    for rely in (lambda: objects.put(b"x", "json"), lambda: objects.refresh(kept.digest, "json")):
        clock.wait(GRACE_SECONDS / 2 - 1)
        rely()
        assert objects.store.info(key).modified == begun, "young enough: not written again"
        clock.wait(2)
        rely()
        begun = clock.now
        assert objects.store.info(key).modified == begun
    assert objects.get(kept) == b"x"


def test_what_is_gone_or_broken_is_not_refreshed(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    kept = objects.put(b"x", "json")
    objects.store.put(object_file(kept.digest, "json"), b"y")
    clock.wait(GRACE_SECONDS)
    with pytest.raises(ShardCorrupt):
        objects.refresh(kept.digest, "json")
    objects.store.delete(object_file(kept.digest, "json"))
    with pytest.raises(NotInStore):
        objects.refresh(kept.digest, "json")


def test_a_digest_is_found_by_its_start(store: Store) -> None:
    objects = Objects(store)
    kept = objects.put_json("one")
    objects.put(b"other media", "parquet")
    for length in (4, 12, 63, 64):
        assert objects.find(kept.digest[:length]) == kept.digest
    for wrong in ("", "abc", "0" * 65, "ABCDEF", "../../"):
        with pytest.raises(ConfigError, match="4 to 64 hex digits"):
            objects.find(wrong)
    with pytest.raises(ConfigError, match="there is no such manifest"):
        objects.find(objects.put(b"other media", "parquet").digest)


def test_a_start_that_several_have_is_refused_with_their_names(objects: Objects) -> None:
    made: dict[str, list[str]] = {}
    number = 0
    while all(len(digests) < 2 for digests in made.values()):
        digest = objects.put_json(number).digest
        made.setdefault(digest[:4], []).append(digest)
        number += 1
    start, digests = next((start, found) for start, found in made.items() if len(found) == 2)
    with pytest.raises(ConfigError, match="2 objects start so") as caught:
        objects.find(start)
    assert all(digest[:16] in str(caught.value) for digest in digests)
