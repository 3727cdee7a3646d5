import math
import pickle
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.catalog import FILTERS
from filters.contract import Filter, Gate, apply
from filters.repetition import Repeated
from filters.text import Text
from manifests.fingerprint import fingerprint
from manifests.records import Reason

EVERY = pytest.mark.parametrize("measure", FILTERS.values(), ids=FILTERS.keys())
AWKWARD = [
    "",
    None,
    " ",
    "\n\n\n",
    "one",
    "a" * 5000,
    "naïve café 日本語 🦊🦊 \u2028 \u0000 \u200b\r\n- item\r\n• item…",
    "the same line\nthe same line\nthe same line\n",
    "word " * 300,
]


def batch(texts: Sequence[str | None], kind: pa.DataType | None = None) -> pa.RecordBatch:
    langs = pa.array(["en"] * len(texts), pa.string())
    return pa.record_batch({"text": pa.array(texts, kind or pa.string()), "lang": langs})


@EVERY
def test_a_filter_has_a_versioned_name_and_a_stable_identity(measure: Filter) -> None:
    base, _, version = measure.name.partition("@")
    assert base
    assert int(version) >= 1
    again = pickle.loads(pickle.dumps(measure))  # noqa: S301
    assert again == measure
    assert fingerprint(again) == fingerprint(measure)
    assert FILTERS[again.name] == measure


def test_no_two_filters_share_an_identity() -> None:
    assert len({fingerprint(measure) for measure in FILTERS.values()}) == len(FILTERS)


@EVERY
def test_a_filter_gives_every_row_one_finite_score_and_the_same_again(measure: Filter) -> None:
    rows = batch(AWKWARD)
    scores = measure(rows)
    assert scores.type == pa.float64()
    assert len(scores) == len(AWKWARD)
    assert scores.null_count == 0
    assert all(map(math.isfinite, scores.to_pylist()))
    assert measure(batch(AWKWARD)).equals(scores)


@EVERY
def test_a_filter_takes_an_empty_batch_and_batches_of_nothing(measure: Filter) -> None:
    assert measure(batch([])).equals(pa.array([], pa.float64()))
    empty = measure(batch(["", None]))
    assert empty.to_pylist() == [0.0, 0.0]


@EVERY
def test_a_score_depends_on_its_row_alone(measure: Filter) -> None:
    whole = measure(batch(AWKWARD)).to_pylist()
    assert [measure(batch([text]))[0].as_py() for text in AWKWARD] == whole
    assert measure(batch(AWKWARD).slice(3, 4)).to_pylist() == whole[3:7]
    assert measure(batch(AWKWARD, pa.large_string())).to_pylist() == whole
    assert measure(batch(AWKWARD[::-1])).to_pylist() == whole[::-1]


LINES = st.lists(st.sampled_from(["a b", "a b c", "the end", "", " ", "-x", "é…"]), max_size=12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=40), LINES.map("\n".join)), max_size=6))
def test_any_text_gets_a_score_that_ignores_its_neighbours(texts: list[str | None]) -> None:
    for measure in FILTERS.values():
        scores = measure(batch(texts)).to_pylist()
        assert scores == [measure(batch([text]))[0].as_py() for text in texts]
        assert all(math.isfinite(score) for score in scores)


WORDS = Text(measure="words")
REPEATS = Repeated(pieces="lines")


def table() -> pa.Table:
    return pa.table({"text": ["one two three", "x", "four five six seven", "a b\na b\na b\na b\n"]})


def test_gates_drop_by_the_first_that_fails_and_say_why() -> None:
    gates = (
        Gate(filter=WORDS, low=2, high=7, reason=Reason.TOO_SHORT),
        Gate(filter=REPEATS, high=0.3, reason=Reason.REPETITIVE),
    )
    screened = apply([Text(measure="letters")], gates, table())
    assert screened.keep.to_pylist() == [True, False, True, False]
    assert screened.dropped.to_pylist() == [
        {"row": 1, "reason": "too_short", "by": "text.words@1", "detail": "1, expected at least 2"},
        {"row": 3, "reason": "too_short", "by": "text.words@1", "detail": "8, expected at most 7"},
    ]
    assert set(screened.scores) == {"text.letters@1", "text.words@1", "repetition.lines@1"}
    assert screened.scores["text.words@1"].to_pylist() == [3, 1, 4, 8]
    assert screened.scores["repetition.lines@1"].to_pylist() == [0, 0, 0, 0.6]


def test_bounds_are_inclusive_and_a_gate_without_bounds_keeps_all() -> None:
    exact = Gate(filter=WORDS, low=3, high=3, reason=Reason.LOW_QUALITY)
    assert apply([], [exact], table()).keep.to_pylist() == [True, False, False, False]
    anything = Gate(filter=WORDS, reason=Reason.LOW_QUALITY)
    assert apply([], [anything], table()).keep.to_pylist() == [True] * 4
    assert len(fingerprint(anything)) == 64


def test_a_score_that_is_no_number_is_not_kept() -> None:
    gate = Gate(filter=WORDS, reason=Reason.LOW_QUALITY)
    assert gate.passes(np.array([1.0, math.nan])).tolist() == [True, False]
    assert gate.detail(math.nan) == "no score"


def test_an_empty_table_is_screened_to_nothing() -> None:
    gate = Gate(filter=WORDS, low=1, reason=Reason.TOO_SHORT)
    screened = apply([REPEATS], [gate], table().slice(0, 0))
    assert len(screened.keep) == 0
    assert screened.dropped.num_rows == 0
    assert screened.scores["text.words@1"].type == pa.float64()


def test_a_large_table_is_measured_in_pieces_to_the_same_scores() -> None:
    texts = [f"line {n % 7}\nline {n % 3}\n" * (n % 50) for n in range(40)] * 300
    chunked = pa.chunked_array([texts[:5000], texts[5000:]])
    whole = apply([REPEATS, WORDS], [], pa.table({"text": chunked}))
    assert whole.scores[REPEATS.name].equals(REPEATS(batch(texts)))
    assert whole.scores[WORDS.name].equals(WORDS(batch(texts)))
