from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.interleave import MAX_TOTAL, Interleave

quotas = st.lists(st.integers(0, 60) | st.integers(0, 2000), min_size=1, max_size=12)
some = quotas.filter(any)


def plain_tree(sizes: list[int]) -> object:
    """The tree as nested pairs of (size, source or (left, right)), with Python's own numbers."""
    nodes: list[tuple[int, int, object]] = [(q, i, i) for i, q in enumerate(sizes) if q]
    made = len(sizes)
    while len(nodes) > 1:
        nodes.sort(key=lambda node: node[:2])
        small, large, *nodes = nodes
        nodes.append((small[0] + large[0], made, (large, small)))
        made += 1
    return nodes[0]


def plain_place(k: int, node: object) -> tuple[int, int]:
    """Source and index at k, by the definition."""
    size, _, what = node  # type: ignore[misc]
    while not isinstance(what, int):
        left, right = what
        share = k * left[0] // size
        goes_left = (k + 1) * left[0] // size > share
        k, (size, _, what) = (share, left) if goes_left else (k - share, right)
    return what, k


def depths(node: object, depth: int = 0) -> dict[int, int]:
    _, _, what = node  # type: ignore[misc]
    if isinstance(what, int):
        return {what: depth}
    return {**depths(what[0], depth + 1), **depths(what[1], depth + 1)}


@settings(max_examples=60, deadline=None)
@given(some)
def test_every_source_has_its_quota_in_order(sizes: list[int]) -> None:
    source, index = Interleave(sizes).locate(np.arange(sum(sizes)))
    for number, quota in enumerate(sizes):
        assert np.array_equal(index[source == number], np.arange(quota))


@settings(max_examples=60, deadline=None)
@given(some)
def test_every_prefix_is_less_than_a_leaf_is_deep_off_its_share(sizes: list[int]) -> None:
    total = sum(sizes)
    source, _ = Interleave(sizes).locate(np.arange(total))
    for number, depth in depths(plain_tree(sizes)).items():
        so_far = np.cumsum(source == number) * total  # in parts of 1/total, to stay whole
        share = np.arange(1, total + 1) * sizes[number]
        assert np.abs(so_far - share).max() < max(depth, 1) * total


@settings(max_examples=60, deadline=None)
@given(some)
def test_positions_are_the_way_back(sizes: list[int]) -> None:
    tree = Interleave(sizes)
    source, _ = tree.locate(np.arange(tree.total))
    for number, quota in enumerate(sizes):
        where = np.flatnonzero(source == number)
        assert np.array_equal(tree.position(number, np.arange(quota)), where)


@settings(max_examples=60, deadline=None)
@given(some, st.data())
def test_counts_are_those_of_the_prefix(sizes: list[int], data: st.DataObject) -> None:
    tree = Interleave(sizes)
    k = data.draw(st.integers(0, tree.total))
    source, _ = tree.locate(np.arange(k))
    assert np.array_equal(tree.counts(k), np.bincount(source, minlength=len(sizes)))


large = st.lists(
    st.integers(0, 3) | st.integers(1, 1 << 33) | st.integers(1 << 40, 1 << 47),
    min_size=1,
    max_size=7,
).filter(any)


@settings(max_examples=200, deadline=None)
@given(large, st.data())
def test_large_totals_are_exact_to_the_last_position(sizes: list[int], data: st.DataObject) -> None:
    total = sum(sizes)
    inside = st.integers(0, total - 1)
    drawn = data.draw(st.lists(inside, min_size=5, max_size=30))
    k = np.array([*drawn, 0, total - 1, total // 2], dtype=np.int64)
    tree, plain = Interleave(sizes), plain_tree(sizes)
    source, index = tree.locate(k)
    assert list(zip(source.tolist(), index.tolist(), strict=True)) == [
        plain_place(one, plain) for one in k.tolist()
    ]
    for number in set(source.tolist()):
        at = source == number
        assert np.array_equal(tree.position(number, index[at]), k[at])


@pytest.mark.parametrize(
    "sizes",
    [
        [1, MAX_TOTAL - 1],
        [MAX_TOTAL // 2, MAX_TOTAL - MAX_TOTAL // 2],
        [MAX_TOTAL // 3, MAX_TOTAL - MAX_TOTAL // 3],
        [(1 << 49) - 1, (1 << 49)],
        [2, 3, 5, MAX_TOTAL - 10],
        [MAX_TOTAL],
    ],
)
def test_the_largest_totals_are_exact_where_quotients_are_whole_and_next_to_it(
    sizes: list[int],
) -> None:
    total, plain, tree = sum(sizes), plain_tree(sizes), Interleave(sizes)
    turns = np.random.default_rng(0).integers(1, min(sizes) + 1, 2000).tolist()
    at = {turn * total // min(sizes) + d for turn in turns for d in (-2, -1, 0, 1, 2)}
    at |= set(range(100)) | set(range(total - 100, total))
    k = np.array(sorted(one for one in at if 0 <= one < total), dtype=np.int64)
    source, index = tree.locate(k)
    expected = [plain_place(one, plain) for one in k.tolist()]
    assert list(zip(source.tolist(), index.tolist(), strict=True)) == expected
    for number in range(len(sizes)):
        here = source == number
        assert np.array_equal(tree.position(number, index[here]), k[here])


def test_the_inverse_of_the_last_of_each_source_is_exact() -> None:
    sizes = [1, 10, 1 << 20, (1 << 48) + 1, 1 << 49]
    tree = Interleave(sizes)
    for number, quota in enumerate(sizes):
        ends = np.unique(np.clip([0, 1, quota // 2, quota - 2, quota - 1], 0, quota - 1))
        source, index = tree.locate(tree.position(number, ends))
        assert np.array_equal(index, ends)
        assert np.all(source == number)


def test_counts_of_a_large_prefix_are_within_the_bound() -> None:
    sizes = [1, 1 << 20, 1 << 44, (1 << 48) + 7, 1 << 49]
    tree = Interleave(sizes)
    for k in (0, 1, tree.total // 3, tree.total - 1, tree.total):
        counts = tree.counts(k)
        assert counts.sum() == k
        for count, quota in zip(counts.tolist(), sizes, strict=True):
            assert abs(count - Fraction(k * quota, tree.total)) < len(sizes)


def test_a_source_of_one_sample_is_not_rounded_away_and_zeros_never_come_up() -> None:
    source, _ = Interleave([1_000_000, 0, 1, 0]).locate(np.arange(1_000_001))
    assert np.bincount(source, minlength=4).tolist() == [1_000_000, 0, 1, 0]


def test_no_positions_at_all() -> None:
    tree = Interleave([0, 0])
    assert tree.total == 0
    assert tree.counts(0).tolist() == [0, 0]
    assert len(tree.locate(np.empty(0, dtype=np.int64))[0]) == 0


def test_equal_quotas_are_told_apart_by_number() -> None:
    assert Interleave([2, 2]).locate(np.arange(4))[0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("sizes", [[], [-1, 2], [1 << 50], [1 << 49, 1 << 49]])
def test_impossible_quotas_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="quotas"):
        Interleave(sizes)


def test_places_outside_are_refused() -> None:
    tree = Interleave([3, 4])
    for outside in (-1, 7):
        with pytest.raises(ValueError, match="outside"):
            tree.locate(np.array([outside]))
    with pytest.raises(ValueError, match="outside"):
        tree.position(0, np.array([3]))
    with pytest.raises(ValueError, match="positions"):
        tree.counts(8)
