from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from manifests.errors import DataError
from trainer.losses.pair_rows import ALL, PairRows, pair_rows

LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    tokens: Any
    chosen: Any
    rejected: Any
    positions: Any
    labels: Any = None
    loss_mask: Any = None
    position_ids: Any = None
    cu_seqlens: Any = None


def rows(*pairs: tuple[int, int, int, int], limit: int = ALL) -> PairRows:
    """Of pairs (chosen start, stop, rejected start, stop); the id at place i is 100 + i."""
    spans = np.array(pairs).reshape(-1, 2, 2)
    window = Window(
        tokens=np.tile(100 + np.arange(LENGTH), (len(pairs), 1)),
        chosen=spans[:, 0],
        rejected=spans[:, 1],
        positions=np.arange(40, 40 + len(pairs)),
    )
    return pair_rows(window, np.full(len(pairs), limit))


def test_an_id_of_a_response_is_read_off_the_place_before_it() -> None:
    found = rows((2, 4, 6, 9))
    assert found.place.tolist() == [1, 2, 5, 6, 7]
    assert found.label.tolist() == [102, 103, 106, 107, 108]
    assert found.owner.tolist() == [0, 0, 1, 1, 1]
    assert found.token_pair.tolist() == [False]


def test_both_ids_of_a_token_pair_are_read_off_one_place() -> None:
    found = rows((2, 4, 6, 9), (5, 6, 6, 7))
    assert found.place.tolist()[-2:] == [LENGTH + 4, LENGTH + 4]
    assert found.label.tolist()[-2:] == [105, 106]
    assert found.owner.tolist()[-2:] == [2, 3]
    assert found.token_pair.tolist() == [False, True]


def test_a_limit_keeps_the_first_ids_of_each_response() -> None:
    found = rows((2, 5, 7, 12), (5, 6, 6, 7), limit=2)
    assert found.label.tolist() == [102, 103, 107, 108, 105, 106]


@pytest.mark.parametrize(
    "spans",
    [
        (0, 4, 6, 9),  # nothing before the first response
        (2, 2, 6, 9),  # an empty response
        (2, 4, 6, 13),  # longer than the window
        (2, 4, 4, 5),  # rejected right behind chosen, but not single tokens
        (6, 9, 2, 4),  # the wrong way round
    ],
)
def test_what_is_no_pair_is_refused_by_its_position(spans: tuple[int, int, int, int]) -> None:
    with pytest.raises(DataError, match="position 41: chosen"):
        rows((2, 4, 6, 9), spans)
