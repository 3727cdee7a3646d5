"""Runs of n words that occur more than once in their row, for a whole batch at once.

A repeated run of n words begins with two repeated runs of n - 1 words, so each n looks only at what
the one before it left; after the first, little is left.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from filters.texts import Flags, Hashes, Ints, Texts, mix

_memo: WeakKeyDictionary[Texts, dict[int, "Repeats"]] = WeakKeyDictionary()
_SHORTEST = 2


@dataclass(frozen=True, slots=True)
class Repeats:
    """Every occurrence of the n-grams that their row has more than once, in order."""

    at: Ints
    """Its first word, an index into `Texts.words`."""
    keys: Hashes
    before: Ints
    """The occurrence before it of the same n-gram, an index into these arrays, or -1."""
    times: Ints
    """How often its row has it, told at the first occurrence; 0 at the others."""


def own_keys(hashes: Hashes, row: Ints) -> Hashes:
    """The hashes told apart by row: rows are compared with themselves only."""
    return mix(hashes + mix(row.astype(np.uint64) + np.uint64(1)))


def repeats(read: Texts, n: int) -> Repeats:
    """The repeated n-grams of a batch, n >= 2."""
    memo = _memo.setdefault(read, {})
    if n not in memo:
        memo[n] = _first(read) if n == _SHORTEST else _longer(read, repeats(read, n - 1), n)
    return memo[n]


def _first(read: Texts) -> Repeats:
    row, hashes = read.words.row, read.word_hashes
    at = np.flatnonzero(row[1:] == row[:-1])
    keys = mix(own_keys(hashes[at], row[at]) + hashes[at + 1])
    return group(at, keys)


def _longer(read: Texts, shorter: Repeats, n: int) -> Repeats:
    row, at = read.words.row, shorter.at
    follows = np.flatnonzero(np.diff(at) == 1)
    follows = follows[row[at[follows]] == row[at[follows] + n - 1]]
    at = at[follows]
    return group(at, mix(shorter.keys[follows] + read.word_hashes[at + n - 1]))


def group(at: Ints, keys: Hashes) -> Repeats:
    """Those of the occurrences whose key occurs more than once; `at` ascends."""
    member, order, fresh = _grouped(keys)
    place = np.cumsum(member) - 1
    order = place[order]
    before = np.full(len(order), -1, dtype=np.int64)
    before[order[~fresh]] = order[np.flatnonzero(~fresh) - 1]
    times = np.zeros(len(order), dtype=np.int64)
    starts = np.flatnonzero(fresh)
    times[order[starts]] = np.diff(starts, append=len(order))
    return Repeats(at[member], keys[member], before, times)


def _grouped(keys: Hashes) -> tuple[Flags, Ints, Flags]:
    """Which keys are not alone; their indices by key and then place; where a new key begins."""
    order = np.argsort(keys)
    ordered = keys[order]
    equal = np.zeros(len(keys) + 1, dtype=bool)
    equal[1:-1] = ordered[1:] == ordered[:-1]
    twin = equal[1:] | equal[:-1]
    fresh = ~equal[:-1][twin]
    # The fast sort is not stable: sort again by group and place, as one integer.
    packed = (np.cumsum(fresh) << 32) | order[twin]
    packed.sort()
    order = packed & 0xFFFFFFFF
    member = np.zeros(len(keys), dtype=bool)
    member[order] = True
    return member, order, fresh
