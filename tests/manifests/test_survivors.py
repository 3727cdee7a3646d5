import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import DataError
from manifests.resolve.types import Body, Head
from manifests.spec.types import Layout
from manifests.survivors import Survivors


def head(samples: int, start: int, count: int) -> Head:
    body = Body(table="", layout=Layout.STREAM, samples=samples, tokens=samples)
    return Head(body=body, epoch=3, start=start, holes="digest", count=count)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 60))
def test_survivors_are_the_ranks_that_are_left_in_order(data: st.DataObject, samples: int) -> None:
    start = data.draw(st.integers(0, samples))
    holes = sorted(data.draw(st.sets(st.integers(start, samples - 1)))) if start < samples else []
    left = [rank for rank in range(start, samples) if rank not in holes]
    survivors = Survivors(head(samples, start, len(left)), np.array(holes, dtype=np.int64))
    assert survivors.ranks(np.arange(len(left))).tolist() == left
    kept, numbers = survivors.numbers(np.arange(samples))
    assert kept.tolist() == left
    assert numbers.tolist() == list(range(len(left)))


@pytest.mark.parametrize(
    ("holes", "count"),
    [([5, 4], 4), ([4, 4], 4), ([1], 5), ([10], 5), ([4], 6), ([4], 4)],
    ids=["unsorted", "twice", "before the start", "past the end", "too few", "too many"],
)
def test_holes_that_do_not_fit_the_head_are_refused(holes: list[int], count: int) -> None:
    with pytest.raises(DataError, match="holes"):
        Survivors(head(10, 4, count), np.array(holes, dtype=np.int64))
