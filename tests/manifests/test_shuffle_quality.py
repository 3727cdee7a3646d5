"""A gate for shuffles: what is weaker than a true shuffle must fail it, ours must not.

Every statistic is compared with its spread over true shuffles (Fisher and Yates) of the same size.
The weak constructions are rebuilt from their publications and from what is known of loaders.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import factorial

import numpy as np
import numpy.typing as npt
import pytest

from manifests.permutation import base_key, mix, permute

Ints = npt.NDArray[np.int64]
Shuffle = Callable[[int, int], Ints]
"""From n and the number of an epoch to the order of that epoch."""

SIZES = [1 << 16, 50_000, (1 << 16) + 1]
LIMIT = 7.0
"""Standard deviations."""

REFERENCES = 24
"""True shuffles of each size."""


# What is measured, of an order y of the numbers below n.


def parity_correlation(y: Ints, bit: int) -> float:
    """The largest correlation of a bit of y[x] with the parity of any choice of bits of x."""
    width = 1 << int(len(y) - 1).bit_length()
    signs = np.zeros(width)
    signs[: len(y)] = 1 - 2 * (y >> bit & 1)
    signs[: len(y)] -= signs.sum() / len(y)
    step = 1
    while step < width:  # the Walsh-Hadamard transform
        pairs = signs.reshape(-1, 2, step)
        signs = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).ravel()
        step *= 2
    return float(np.abs(signs).max() / len(y))


def distinct(values: Ints) -> float:
    return len(np.unique(values)) / len(values)


def distinct_differences(y: Ints, bit: int) -> float:
    """Of y[x] ^ y[x with one bit flipped], how many are distinct."""
    x = np.arange(len(y))
    x = x[(x & 1 << bit == 0) & (x | 1 << bit < len(y))]
    return distinct(y[x] ^ y[x | 1 << bit])


def unevenness(one: Ints, other: Ints, bins: int) -> float:
    """Chi-squared of two numbers below `bins` against all pairs being as likely."""
    counts = np.bincount(one * bins + other, minlength=bins * bins)
    expected = len(one) / bins**2
    return float(((counts - expected) ** 2).sum() / expected)


def correlation(one: Ints, other: Ints) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def statistics(y: Ints, next_epoch: Ints) -> dict[str, float]:
    n = len(y)
    found: dict[str, float] = {}
    for bit in range(4):
        found[f"output bit {bit} and parities of input bits"] = parity_correlation(y, bit)
    for bit in range(0, 15, 2):
        found[f"distinct differences, input bit {bit}"] = distinct_differences(y, bit)
    for lag in (1, 2, 64, 256):
        ahead, behind = y[lag:], y[:-lag]
        found[f"distinct deltas at {lag}"] = distinct((ahead - behind) % n)
        found[f"serial correlation at {lag}"] = correlation(ahead, behind)
        found[f"where neighbours at {lag} land"] = unevenness(ahead * 32 // n, behind * 32 // n, 32)
        found[f"low bits of neighbours at {lag}"] = unevenness(ahead & 15, behind & 15, 16)
    runs = np.arange(n) * 64 // n
    found["where runs land"] = unevenness(runs, y * 64 // n, 64)
    found["same place in the next epoch"] = float((y == next_epoch).sum())
    found["correlation with the next epoch"] = correlation(y, next_epoch)
    found["where the next epoch puts it"] = unevenness(y * 32 // n, next_epoch * 32 // n, 32)
    return found


def true_shuffle(n: int, epoch: int) -> Ints:
    return np.random.default_rng([n, epoch]).permutation(n)


@cache
def spread(n: int) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of every statistic over true shuffles."""
    orders = [true_shuffle(n, epoch) for epoch in range(REFERENCES + 1)]
    samples = [statistics(*pair) for pair in pairwise(orders)]
    return {
        name: (float(np.mean(values)), float(np.std(values, ddof=1)))
        for name in samples[0]
        for values in [[sample[name] for sample in samples]]
    }


def what_fails(shuffle: Shuffle, n: int) -> dict[str, float]:
    """Statistics that are further off than the limit, in standard deviations."""
    first, second = shuffle(n, 1000), shuffle(n, 1001)
    assert np.array_equal(np.sort(first), np.arange(n)), "not a permutation"
    off = {
        name: abs(value - spread(n)[name][0]) / spread(n)[name][1]
        for name, value in statistics(first, second).items()
    }
    return {name: round(sigmas, 1) for name, sigmas in off.items() if sigmas > LIMIT}


# The weak ones.


def walked(network: Callable[[Ints], Ints], n: int) -> Ints:
    """All numbers below n through a network over more, until they are below n again."""
    y = network(np.arange(n))
    while len(outside := np.flatnonzero(y >= n)):
        y[outside] = network(y[outside])
    return y


def feistel_with_linear_rounds(n: int, epoch: int) -> Ints:
    """As in Levanter: five rounds of (half * 2654435761 + key) mod 2^b."""
    low = (int(n - 1).bit_length() + 1) // 2
    mask = (1 << low) - 1
    keys = np.random.default_rng(epoch).integers(0, 1 << low, 5)

    def network(x: Ints) -> Ints:
        left, right = x >> low, x & mask
        for key in keys:
            left, right = right, left ^ (right * 2654435761 + key & mask)
        return left << low | right

    return walked(network, n)


def multiples(n: int, epoch: int) -> Ints:
    """A linear congruential order: a * x + b mod n."""
    draw = np.random.default_rng(epoch)
    a = int(draw.integers(n // 4, n))
    while np.gcd(a, n) > 1:
        a += 1
    return (a * np.arange(n) + int(draw.integers(n))) % n


def simon_of_four_rounds(n: int, epoch: int) -> Ints:
    """As in Grain: Simon's round, f(x) = (x <<< 1 & x <<< 8) ^ x <<< 2, four times over."""
    width = max(16, int(n - 1).bit_length())
    word = (width + 1) // 2
    mask = (1 << word) - 1
    keys = np.random.default_rng(epoch).integers(0, 1 << 32, 4) & mask

    def turned(x: Ints, by: int) -> Ints:
        return (x << by | x >> word - by) & mask

    def network(x: Ints) -> Ints:
        left, right = x >> word, x & mask
        for key in keys:
            mixed = (turned(right, 1) & turned(right, 8)) ^ turned(right, 2)
            left, right = right, left ^ mixed ^ key
        return left << word | right

    return walked(network, n)


def in_blocks(n: int, epoch: int) -> Ints:
    """A shuffle buffer: true shuffles of 1,024 at a time."""
    draw = np.random.default_rng(epoch)
    blocks = [np.arange(start, min(start + 1024, n)) for start in range(0, n, 1024)]
    return np.concatenate([draw.permutation(block) for block in blocks])


def the_same_each_epoch(n: int, epoch: int) -> Ints:
    return true_shuffle(n, 0)


def the_same_turned_each_epoch(n: int, epoch: int) -> Ints:
    return (true_shuffle(n, 0) + epoch * (n // 7)) % n


WEAK = [
    feistel_with_linear_rounds,
    multiples,
    simon_of_four_rounds,
    in_blocks,
    the_same_each_epoch,
    the_same_turned_each_epoch,
]


def ours(n: int, epoch: int) -> Ints:
    return permute(np.arange(n), n, mix(base_key("a leaf"), np.array([epoch])))


@pytest.mark.parametrize("n", SIZES)
def test_our_permutation_cannot_be_told_from_a_true_shuffle(n: int) -> None:
    assert what_fails(ours, n) == {}


@pytest.mark.parametrize("n", SIZES)
def test_a_true_shuffle_passes(n: int) -> None:
    assert what_fails(true_shuffle, n) == {}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("weak", WEAK)
def test_a_weak_order_is_found_out(weak: Shuffle, n: int) -> None:
    assert what_fails(weak, n) != {}


def test_all_orders_of_a_handful_are_as_likely() -> None:
    for n in (2, 4, 5, 6):
        keys = mix(base_key("a leaf"), np.arange(100_000))
        orders = np.zeros(len(keys), dtype=np.int64)
        for x in range(n):
            orders = orders * n + permute(np.full(len(keys), x), n, keys)
        seen = np.unique(orders, return_counts=True)[1]
        possible = factorial(n)
        expected = len(keys) / possible
        chi_squared = ((seen - expected) ** 2).sum() / expected
        assert len(seen) == possible
        assert abs(chi_squared - (possible - 1)) < 5 * np.sqrt(2 * (possible - 1))


def test_a_place_in_the_batch_goes_everywhere_from_batch_to_batch() -> None:
    batches = np.arange(1 << 19)
    places = permute(np.zeros_like(batches), 5760, mix(base_key("a phase"), batches))
    expected = len(batches) / 5760
    chi_squared = ((np.bincount(places, minlength=5760) - expected) ** 2).sum() / expected
    assert abs(chi_squared - 5759) < 5 * np.sqrt(2 * 5759)
    assert abs(correlation(places[1:], places[:-1])) < 5 / np.sqrt(len(batches))
