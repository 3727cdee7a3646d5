import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.permutation import MAX_SIZE, base_key, mix, permute, unpermute

MASK = (1 << 64) - 1
ODD_SIZES = sorted(
    {1, 2, 3, 5, 5760} | {(1 << b) + d for b in (1, 4, 6, 7, 12, 15) for d in (-1, 0, 1)}
)


def splitmix64(state: int) -> int:
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & MASK
    return state ^ state >> 31


def plain(x: int, n: int, key: int) -> int:
    """The permutation of one number, as one would write it without arrays."""
    half = max(3, ((n - 1).bit_length() + 1) // 2)
    if n == 1:
        return 0
    while True:
        high, low = x >> half, x & (1 << half) - 1
        for number in range(6):
            read = high if number % 2 else low
            state = key + (number + 1) * 0x9E3779B97F4A7C15 + read & MASK
            top = splitmix64(state) >> 64 - half
            if number % 2:
                low ^= top
            else:
                high ^= top
        x = high << half | low
        if x < n:
            return x


@pytest.mark.parametrize("n", ODD_SIZES)
def test_every_number_is_taken_to_another_and_back(n: int) -> None:
    keys = mix(base_key("bijection"), np.array([n]))
    y = permute(np.arange(n), n, keys)
    assert np.array_equal(np.sort(y), np.arange(n))
    assert np.array_equal(unpermute(y, n, keys), np.arange(n))


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 5000), key=st.integers(0, MASK))
def test_it_is_a_bijection_of_any_size(n: int, key: int) -> None:
    y = permute(np.arange(n), n, np.array([key], dtype=np.uint64))
    assert np.array_equal(np.sort(y), np.arange(n))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), n=st.integers(1, MAX_SIZE), number=st.integers(0, 1 << 40))
def test_numbers_of_any_size_come_back(data: st.DataObject, n: int, number: int) -> None:
    x = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=20)), dtype=np.int64)
    keys = mix(base_key("sizes"), np.array([number]))
    y = permute(x, n, keys)
    assert np.all((y >= 0) & (y < n))
    assert np.array_equal(unpermute(y, n, keys), x)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, MASK), st.integers(1, 1 << 50)), min_size=1, max_size=9))
def test_it_is_what_plain_integers_give(cases: list[tuple[int, int]]) -> None:
    x = np.array([key % n for key, n in cases], dtype=np.int64)
    n = np.array([n for _, n in cases], dtype=np.int64)
    keys = np.array([key for key, _ in cases], dtype=np.uint64)
    expected = [plain(key % size, size, key) for key, size in cases]
    assert permute(x, n, keys).tolist() == expected


def test_sizes_and_keys_of_one_call_may_differ_from_element_to_element() -> None:
    draw = np.random.default_rng(1)
    n = draw.choice([1, 2, 3, 17, 5760, (1 << 33) + 1, 1 << 50], 20_000)
    x = draw.integers(0, n)
    keys = mix(base_key("many"), draw.integers(0, 5, len(n)))
    together = permute(x, n, keys)
    for size in np.unique(n).tolist():
        for key in np.unique(keys):
            at = (n == size) & (keys == key)
            assert np.array_equal(together[at], permute(x[at], size, np.array([key])))
    assert np.array_equal(unpermute(together, n, keys), x)


def test_the_key_of_a_number_is_the_output_of_splitmix64_there() -> None:
    base = base_key("some", "parts")
    numbers = [0, 1, 2, 1 << 40]
    expected = [splitmix64(base + (number + 1) * 0x9E3779B97F4A7C15 & MASK) for number in numbers]
    assert mix(base, np.array(numbers)).tolist() == expected
    bases = np.array([base] * 4, dtype=np.uint64)
    assert mix(bases, np.array(numbers)).tolist() == expected


def test_splitmix64_is_the_published_one() -> None:
    assert mix(1234567, np.arange(3)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_parts_of_a_key_do_not_run_together() -> None:
    assert base_key("ab", "c") != base_key("a", "bc") != base_key("a", "b", "c")


def test_what_was_given_stays_as_it_was() -> None:
    x = np.arange(100)
    numbers = np.arange(100)
    keys = mix(1, numbers)
    before = keys.copy()
    permute(x, 100, keys)
    unpermute(x, 100, keys)
    assert np.array_equal(x, np.arange(100))
    assert np.array_equal(numbers, np.arange(100))
    assert np.array_equal(keys, before)


def test_nothing_gives_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert len(permute(nothing, 7, mix(1, np.array([0])))) == 0
    assert len(permute(nothing, nothing, mix(1, nothing))) == 0


@pytest.mark.parametrize(("x", "n"), [(5, 5), (-1, 5), (0, 0), (0, (1 << 50) + 1)])
def test_numbers_outside_are_refused(x: int, n: int) -> None:
    with pytest.raises(ValueError, match=r"outside|2\^50"):
        permute(np.array([x]), n, mix(1, np.array([0])))
