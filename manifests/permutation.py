"""A keyed permutation of the numbers below n that is computed, not stored, and has an inverse.

A balanced Feistel network over the next even width of bits (6 or more), its round function
splitmix64; what lands at n or above is sent through again until it is below (cycle walking). n and
the key may differ from element to element, so that samples of many sources and epochs are permuted
in one call.

Source: Black and Rogaway, Ciphers with Arbitrary Finite Domains (2002), section 5; Steele, Lea and
Flood, Fast Splittable Pseudorandom Number Generators (2014), for splitmix64.
"""

import numpy as np
import numpy.typing as npt

from manifests.fingerprint import content_id

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

MAX_SIZE = 1 << 50
"""Largest n."""

ROUNDS = 6
_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_ROUND_OFFSETS = [np.uint64((number + 1) * _GAMMA & _MASK) for number in range(ROUNDS)]
_LEAST_HALF = 3
"""Bits. On fewer, six rounds favour some orders of a handful of numbers (up to tenfold)."""

_BLOCK = 1 << 13
"""Elements at a time: their words stay in the cache through all rounds."""


def base_key(*parts: str) -> int:
    """64 bits out of a sha256 over the parts, each framed by its length."""
    return int(content_id(*parts)[:16], 16)


def mix(base: int | Words, numbers: Ints) -> Words:
    """A key for each number (of an epoch, of a batch): splitmix64's output at that place."""
    words = np.array(numbers, dtype=np.int64, ndmin=1).view(np.uint64)
    words += np.uint64(1)
    words *= np.uint64(_GAMMA)
    words = words + (np.uint64(base) if isinstance(base, int) else base)
    words ^= words >> _SHIFT_1
    words *= _MULTIPLY_1
    words ^= words >> _SHIFT_2
    words *= _MULTIPLY_2
    words ^= words >> _SHIFT_3
    return words


def permute(x: Ints, n: int | Ints, keys: Words) -> Ints:
    """Where each x, 0 <= x < n, goes under its key. One dimension; n and keys broadcast.

    Raises:
        ValueError: an x outside, or n below 1 or above 2^50.
    """
    return _walk(x, n, keys, range(ROUNDS))


def unpermute(y: Ints, n: int | Ints, keys: Words) -> Ints:
    """The x that `permute` takes to each y."""
    return _walk(y, n, keys, range(ROUNDS)[::-1])


def _walk(x: Ints, n: int | Ints, keys: Words, order: range) -> Ints:
    """Through the network, and again with those that are still at n or above."""
    size = np.array(n, dtype=np.int64, ndmin=1)
    if size.size and (size.min() < 1 or size.max() > MAX_SIZE):
        raise ValueError(f"sizes of {size.min()} to {size.max()}, not 1 to 2^50")
    out = np.array(x, dtype=np.int64).view(np.uint64)
    limit = size.view(np.uint64)
    if np.any(out >= limit):
        raise ValueError("numbers outside of what is permuted")
    # frexp's exponent of a whole number below 2^53 is its length in bits.
    bits = np.frexp((size - 1).astype(np.float64))[1]
    half = np.maximum((bits + 1) // 2, _LEAST_HALF).astype(np.uint64)
    _network(out, half, keys, order)
    np.copyto(out, np.uint64(0), where=limit == 1)
    outside = np.flatnonzero(out >= limit)
    word, limit, half, keys = out[outside], *(_of(a, outside) for a in (limit, half, keys))
    while len(outside):
        _network(word, half, keys, order)
        out[outside] = word
        again = np.flatnonzero(word >= limit)
        word, outside = word[again], outside[again]
        limit, half, keys = (_of(a, again) for a in (limit, half, keys))
    return out.view(np.int64)


def _of(values: Words, where: slice | npt.NDArray[np.intp]) -> Words:
    """The values there; one value stands for all."""
    return values if len(values) == 1 else values[where]


def _network(words: Words, half: Words, keys: Words, order: range) -> None:
    """Every word through the rounds, in place."""
    for start in range(0, len(words), _BLOCK):
        block = slice(start, start + _BLOCK)
        _rounds(words[block], _of(half, block), _of(keys, block), order)


def _rounds(words: Words, half: Words, keys: Words, order: range) -> None:
    """Round i adds F_i of one half to the other, the halves in turn; the inverse goes backwards.

    F_i(half) is the top of splitmix64(key + i * gamma + half). Its last step, z ^= z >> 31, leaves
    the 31 top bits as they are, and a half has at most 25, so that step is left out.
    """
    drop = np.uint64(64) - half
    high = words >> half
    low = words & ((np.uint64(1) << half) - np.uint64(1))
    mixed, shifted = np.empty_like(words), np.empty_like(words)
    for number in order:
        changed, read = (low, high) if number % 2 else (high, low)
        np.add(read, keys, out=mixed)
        mixed += _ROUND_OFFSETS[number]
        np.right_shift(mixed, _SHIFT_1, out=shifted)
        mixed ^= shifted
        mixed *= _MULTIPLY_1
        np.right_shift(mixed, _SHIFT_2, out=shifted)
        mixed ^= shifted
        mixed *= _MULTIPLY_2
        mixed >>= drop
        changed ^= mixed
    np.left_shift(high, half, out=words)
    words |= low
