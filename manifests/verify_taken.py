"""Proof that a step that takes took the first so many records, in the order of slices and rows.

A second reading of the format, as verify.py is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from manifests.id_keys import Keys

SURPLUS = "surplus"
"""The reason of a row that was not needed."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one slice gave; amounts are rows or tokens, as the step counts."""

    slice_index: int
    amount: int
    last: int
    """Of its last row."""
    left: int
    """Rows of its input that it did not take."""


def taken(slice_index: int, data: pa.Table, left: int, unit: str) -> Taken:
    """What a slice with these rows gave."""
    tokens = unit == "tokens" and data.num_rows
    each = np.asarray(data["tokens"]) if tokens else np.ones(data.num_rows, dtype=np.int64)
    return Taken(slice_index, int(each.sum()), int(each[-1]) if len(each) else 0, left)


def wrong_in_slice(given: Keys, kept: Keys, reasons: Iterable[str]) -> list[str]:
    """What is not as in a slice's take: the first rows of its input, the rest left over."""
    found = []
    if not np.array_equal(kept, given[: len(kept)]):
        found.append("its rows are not the first rows of its input, in their order")
    if others := sorted(set(reasons) - {SURPLUS}):
        found.append(f"refuses rows for {', '.join(others)}: a step that takes judges nothing")
    return found


def wrong_in_all(slices: Sequence[Taken], amount: int, unit: str) -> list[str]:
    """What is not as in the takes of all slices together."""
    have, found = 0, []
    for number, one in enumerate(sorted(slices, key=lambda taken: taken.slice_index)):
        if one.slice_index != number:
            found.append(f"slice {one.slice_index} is taken, and slice {number} before it is not")
            break
        if have >= amount:
            found.append(f"slice {number} is taken, and {have} of {amount} {unit} came before it")
        have += one.amount
        if one.left and have < amount:
            found.append(f"rows of slice {number} are left at {have} of {amount} {unit}")
        if one.amount and have - one.last >= amount:
            found.append(
                f"slice {number} ends at {have} of {amount} {unit}: more than its last row"
            )
    return found
