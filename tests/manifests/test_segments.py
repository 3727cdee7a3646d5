import logging
from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from manifests.completions import Completion, FinishReason, Usage
from manifests.fingerprint import sha256
from manifests.segments import compact, read_segments, write_segment
from manifests.store import Store, open_store
from manifests.stores.memory import MemoryStore

PREFIX = "steps/make@1/ff/completions/task/"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(0, 2**40)
COMPLETIONS = st.builds(
    Completion,
    text=TEXT,
    finish_reason=st.sampled_from(FinishReason),
    teacher=TEXT,
    usage=st.builds(Usage, prompt_tokens=COUNT, completion_tokens=COUNT, cached_tokens=COUNT),
)


def answer(text: str) -> Completion:
    return Completion(text=text, finish_reason=FinishReason.STOP, teacher="m@r", usage=Usage())


@settings(max_examples=60, deadline=None)
@given(entries=st.dictionaries(TEXT, COMPLETIONS, max_size=6), data=st.data())
def test_what_was_written_is_read_in_any_number_of_segments(
    entries: dict[str, Completion], data: st.DataObject
) -> None:
    store = open_store(f"memory://{id(data)}")
    for key in list(store.list("")):
        store.delete(key)
    cut = data.draw(st.integers(0, len(entries)))
    pairs = list(entries.items())
    for part in (pairs[:cut], pairs[cut:]):
        write_segment(store, PREFIX, dict(part))
    assert read_segments(store, PREFIX) == entries
    compact(store, PREFIX)
    assert read_segments(store, PREFIX) == entries
    assert len(list(store.list(PREFIX))) == 1


def test_segments_are_kept_in_a_real_store_and_named_by_their_bytes(store: Store) -> None:
    one = write_segment(store, PREFIX, {"a": answer("1")})
    two = write_segment(store, PREFIX, {"b": answer("2")})
    assert one == f"{PREFIX}{sha256(store.get(one))}.arrow"
    assert sorted([one, two]) == list(store.list(PREFIX))
    assert read_segments(store, PREFIX) == {"a": answer("1"), "b": answer("2")}
    compact(store, PREFIX)
    (merged,) = store.list(PREFIX)
    assert merged not in (one, two)
    assert read_segments(store, PREFIX) == {"a": answer("1"), "b": answer("2")}


def test_no_segments_are_no_completions(store: Store) -> None:
    assert read_segments(store, PREFIX) == {}
    compact(store, PREFIX)
    assert list(store.list("")) == []


def test_the_order_of_entries_does_not_change_the_bytes() -> None:
    store = open_store("memory://order")
    forth = write_segment(store, PREFIX, {"a": answer("1"), "b": answer("2")})
    back = write_segment(store, PREFIX, {"b": answer("2"), "a": answer("1")})
    assert forth == back


def test_of_two_answers_to_one_prompt_the_same_one_stays_always() -> None:
    store = open_store("memory://twice")
    written = {
        write_segment(store, PREFIX, {"a": answer(text)}): answer(text) for text in ("1", "2", "3")
    }
    first = written[min(written)]
    assert read_segments(store, PREFIX) == {"a": first}
    compact(store, PREFIX)
    assert read_segments(store, PREFIX) == {"a": first}


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_segment_costs_its_own_calls_only(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore(f"damage-{damage}")
    bad = write_segment(store, PREFIX, {"a": answer("1")})
    write_segment(store, PREFIX, {"b": answer("2")})
    write_segment(store, PREFIX, {"c": answer("3")})
    data = store.get(bad)
    store.put(
        bad,
        {
            "flip": bytes([data[0] ^ 1]) + data[1:],
            "cut": data[:-1],
            "empty": b"",
            "other": store.get(write_segment(store, "elsewhere/", {"a": answer("9")})),
        }[damage],
    )
    with caplog.at_level(logging.WARNING):
        assert read_segments(store, PREFIX) == {"b": answer("2"), "c": answer("3")}
    assert f"{bad} is corrupt" in caplog.text
    compact(store, PREFIX)
    assert store.exists(bad), "what could not be read is not thrown away"
    assert read_segments(store, PREFIX) == {"b": answer("2"), "c": answer("3")}


class CompactedMeanwhile(MemoryStore):
    """Between its first list and the reads, somebody else compacts."""

    def list(self, prefix: str) -> Iterator[str]:
        found = list(super().list(prefix))
        if len(found) > 1:
            compact(MemoryStore(self.url.removeprefix("memory://")), prefix)
        return iter(found)


def test_a_compaction_by_another_process_loses_no_reader_a_completion() -> None:
    plain = MemoryStore("meanwhile")
    for text in "abc":
        write_segment(plain, PREFIX, {text: answer(text)})
    reader = CompactedMeanwhile("meanwhile")
    assert read_segments(reader, PREFIX) == {text: answer(text) for text in "abc"}
    assert len(list(plain.list(PREFIX))) == 1


class DiesAt(MemoryStore):
    """Ends a compaction at its nth delete, as a kill would."""

    def __init__(self, name: str, deletes: int) -> None:
        super().__init__(name)
        self.left = deletes

    def delete(self, key: str) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().delete(key)


@pytest.mark.parametrize("deletes", [0, 1, 2])
def test_a_compaction_that_is_killed_loses_nothing(deletes: int) -> None:
    store = DiesAt(f"killed-{deletes}", deletes)
    for text in "abc":
        write_segment(store, PREFIX, {text: answer(text)})
    with pytest.raises(KeyboardInterrupt):
        compact(store, PREFIX)
    assert read_segments(store, PREFIX) == {text: answer(text) for text in "abc"}
