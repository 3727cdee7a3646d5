"""Packings against the plain words of their definition, one document after the other."""

from bisect import bisect_left, insort

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from manifests.levels import packed as plain
from manifests.levels.packed import packed, windows_with
from manifests.packing import PACKING, Packing, pack, packed_windows

corpora = st.lists(st.integers(0, 60), max_size=40)
lengths = st.integers(1, 25)


def array(tokens: list[int]) -> npt.NDArray[np.int64]:
    return np.array(tokens, dtype=np.int64)


def windows_of(packing: Packing) -> list[list[tuple[int, int, int]]]:
    columns = (packing.document, packing.start, packing.length)
    parts = list(zip(*(column.tolist() for column in columns), strict=True))
    return [parts[packing.parts(window)] for window in range(packing.windows)]


def first_fit(tokens: list[int], length: int) -> int:
    """Windows when each document goes to the first one that holds it, longest first."""
    rooms: list[int] = []
    parts = [part for count in tokens for part in [length] * (count // length)]
    parts += [count % length for count in tokens if count % length]
    parts += [1 for count in tokens if not count]
    for places in sorted(parts, reverse=True):
        at = next((n for n, room in enumerate(rooms) if room >= places), len(rooms))
        if at == len(rooms):
            rooms.append(length)
        rooms[at] -= places
    return len(rooms)


@settings(deadline=None)
@given(corpora, lengths)
@example([], 4)
@example([0, 0, 0, 0, 0], 4)
@example([4, 8, 3, 5, 0], 4)
@example([7], 1)
def test_every_token_is_an_input_once_and_no_window_is_too_full(
    tokens: list[int], length: int
) -> None:
    packing = pack(array(tokens), length)
    windows = windows_of(packing)
    inputs = [
        (document, start + n)
        for parts in windows
        for document, start, size in parts
        for n in range(size)
    ]
    assert sorted(inputs) == [(d, n) for d, count in enumerate(tokens) for n in range(count)]
    assert all(sum(max(1, size) for _, _, size in parts) <= length for parts in windows)
    assert all(windows)
    assert packing.splits == sum(count > length for count in tokens)
    assert packing.truncations == 0
    places = packing.windows * length
    assert packing.fill == (pytest.approx(sum(tokens) / places) if places else 0)


@settings(deadline=None)
@given(corpora, lengths)
def test_what_is_longer_than_a_window_fills_windows_alone_and_only_its_rest_is_packed(
    tokens: list[int], length: int
) -> None:
    packing = pack(array(tokens), length)
    alone = [parts[0] for parts in windows_of(packing) if parts[0][2] == length]
    full = [(d, n * length, length) for d, t in enumerate(tokens) for n in range(t // length)]
    assert alone == full
    whole = {d for d, t in enumerate(tokens) if t <= length}
    parts = [part for some in windows_of(packing) for part in some]
    assert sorted(part for part in parts if part[0] in whole) == [
        (d, 0, tokens[d]) for d in sorted(whole)
    ]


@settings(deadline=None)
@given(corpora, lengths)
def test_windows_are_those_of_the_definition(tokens: list[int], length: int) -> None:
    packing = pack(array(tokens), length)
    assert windows_of(packing) == packed(tokens, length)
    assert packed_windows(array(tokens), length) == packing.windows


@settings(deadline=None)
@given(corpora, lengths)
def test_each_part_went_to_the_window_with_the_least_room_that_holds_it(
    tokens: list[int], length: int
) -> None:
    """Placed again in order: no other window that was begun would have been fuller with it."""
    placed = [
        (-max(1, size), document, start, window)
        for window, parts in enumerate(windows_of(pack(array(tokens), length)))
        for document, start, size in parts
    ]
    room: dict[int, int] = {}
    rooms: list[int] = []
    for places, _, _, window in sorted(placed):
        at = bisect_left(rooms, -places)
        best = rooms[at] if at < len(rooms) else length
        assert room.get(window, length) == best
        if window in room:
            del rooms[bisect_left(rooms, best)]
        room[window] = best + places
        insort(rooms, room[window])


@settings(deadline=None)
@given(corpora, lengths)
def test_packing_again_gives_the_same_and_a_document_is_found_in_its_windows(
    tokens: list[int], length: int
) -> None:
    packing, again = pack(array(tokens), length), pack(array(tokens), length)
    assert windows_of(packing) == windows_of(again)
    for document in range(len(tokens)):
        gone = [number == document for number in range(len(tokens))]
        assert packing.windows_of(document).tolist() == windows_with(tokens, length, gone)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 100, 256]), st.floats(0.3, 1.5))
def test_random_documents_fill_windows_as_well_as_first_fit_does(
    seed: int, length: int, sigma: float
) -> None:
    rng = np.random.default_rng(seed)
    tokens = np.maximum(1, rng.lognormal(np.log(length / 4), sigma, 300)).astype(np.int64)
    windows = packed_windows(tokens, length)
    # Neither is best always: they differ by a window here and there.
    assert windows <= first_fit(tokens.tolist(), length) + 1
    assert windows >= -(-int(tokens.sum()) // length)


def test_a_shard_of_many_short_documents_has_next_to_no_padding() -> None:
    rng = np.random.default_rng(1)
    tokens = np.maximum(1, rng.lognormal(np.log(1000) - 0.5, 1.0, 20_000)).astype(np.int64)
    for length in (4096, 16384):
        packing = pack(tokens, length)
        assert packing.fill > 0.999
        assert packing.windows == packed_windows(tokens, length)


def test_both_that_pack_call_it_by_the_same_name() -> None:
    assert plain.PACKING == PACKING
