"""Equal meaning is equal bytes; what is kept comes back exactly; garbage is one line."""

import json
import random
from datetime import date, datetime, time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError, DataError
from manifests.fingerprint import canonical_json
from manifests.spec.canonical import from_plain, to_plain
from manifests.spec.read import parse_mixture
from tests.manifests.specs import specs, spelt
from tests.manifests.test_spec_read import GOOD
from tests.manifests.toml_text import toml

SLOW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)


@SLOW
@given(specs(), st.integers(), st.integers())
def test_one_meaning_has_one_form_however_it_is_written(
    spec: dict[str, Any], one: int, other: int
) -> None:
    first = parse_mixture(toml(spelt(spec, random.Random(one))), "one")
    second = parse_mixture(toml(spelt(spec, random.Random(other))), "other")
    assert first == second
    data = canonical_json(to_plain(first))
    assert data == canonical_json(to_plain(second))
    kept = from_plain(json.loads(data), "kept")
    assert kept == first
    assert canonical_json(to_plain(kept)) == data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 1", "seed = 2"),
        ('"1/3"', '"0.3333333333333333"'),
        ("13.8", "13.80000000000001"),
        ('"text.words@1"', '"text.words@2"'),
        ("partial = true", "partial = false"),
        ('"500K tokens"', '"501K tokens"'),
        ("3e-4", "3.0000000001e-4"),
    ],
)
def test_another_meaning_has_another_form(old: str, new: str) -> None:
    assert old in GOOD
    one, other = (
        canonical_json(to_plain(parse_mixture(text, "m"))) for text in (GOOD, swapped(old, new))
    )
    assert one != other


def swapped(old: str, new: str) -> str:
    """GOOD with another value, and shares that still sum up."""
    text = GOOD.replace(old, new, 1)
    return text if old != '"1/3"' else GOOD.replace('[1, 2, "1/3"]', "[1, 2, 0.3333333333333333]")


@pytest.mark.parametrize(
    "broken",
    [
        lambda data: None,
        lambda data: [],
        lambda data: {**data, "schema": "scriptorium.mixture/2"},
        lambda data: {**data, "more": 1},
        lambda data: {**data, "seed": "1"},
        lambda data: {**data, "seed": 1.5},
        lambda data: {**data, "seed": float("nan")},
        lambda data: {k: v for k, v in data.items() if k != "phases"},
        lambda data: {k: v for k, v in data.items() if k != "remove"},
        lambda data: {**data, "phases": [{**data["phases"][0], "layout": "steam"}]},
        lambda data: {**data, "sources": [{**data["sources"][0], "max_epochs": "4/2"}]},
    ],
)
def test_what_is_not_the_kept_form_is_refused(broken: Any) -> None:
    data = json.loads(canonical_json(to_plain(parse_mixture(GOOD, "m"))))
    with pytest.raises(DataError, match=r"^kept: not ") as refused:
        from_plain(broken(data), "kept")
    assert len(str(refused.value).splitlines()) == 1


GARBAGE = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["-1%", "1/0", "1e9T", "*", "nan", "web", "99999999999999T", 2**70])
    | st.just(date(2024, 12, 12))
    | st.just(datetime(2024, 12, 12, 1, 2))
    | st.just(time(1, 2)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["min", "share", "by"]), inner)
    ),
    max_leaves=4,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every entry below."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [path for key in keys for path in [(*at, key), *places(value[key], (*at, key))]]


@SLOW
@given(specs(), st.randoms(use_true_random=False), GARBAGE)
def test_garbage_in_any_place_is_one_line(
    spec: dict[str, Any], chance: random.Random, garbage: object
) -> None:
    written = spelt(spec, chance)
    *path, last = chance.choice(places(written))
    parent = written
    for key in path:
        parent = parent[key]
    if isinstance(parent, dict) and chance.random() < 0.3:
        last = chance.choice(["x", "max_epoch", "Bad Name", "", "\n"])
    parent[last] = garbage
    assert_mixture_or_one_line(toml(written))


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    assert_mixture_or_one_line(text)


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text(max_size=3))
def test_a_mixture_that_lost_a_piece_is_one_line(start: int, length: int, put: str) -> None:
    assert_mixture_or_one_line(GOOD[:start] + put + GOOD[start + length :])


def assert_mixture_or_one_line(text: str) -> None:
    try:
        mixture = parse_mixture(text, "mix.toml")
    except ConfigError as error:
        line = str(error)
        assert line.startswith("mix.toml: ")
        assert len(line.splitlines()) == 1
        assert len(line) < 800
    else:
        assert from_plain(to_plain(mixture), "kept") == mixture
