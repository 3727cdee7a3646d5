"""No leaf is passed over more often than its source's max_epochs, whatever is asked for."""

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.resolve.phases import resolve
from manifests.resolve.types import Phase
from manifests.spec.types import Layout, Mixture, OnCap, Rounding
from tests.manifests.resolved import (
    assert_epochs_whole,
    assert_whole,
    epochs,
    mixture,
    quotas,
    share,
    source,
    spec,
    versions,
    weight,
)
from tests.manifests.supplied import Numbers

_caps = st.none() | st.fractions(Fraction(1, 3), 6, max_denominator=5)


@st.composite
def _chains(draw: st.DrawFn) -> tuple[Numbers, Mixture]:
    names = [f"s{i}" for i in range(draw(st.integers(1, 5)))]
    numbers = Numbers({name: draw(st.integers(60, 3000)) for name in names}, document=13)
    made, after = [], ""
    for i in range(draw(st.integers(1, 4))):
        layout = draw(st.sampled_from([Layout.STREAM, Layout.STREAM, Layout.DOCUMENT]))
        mix = [weight(name, draw(st.integers(1, 9))) for name in names]
        if i and draw(st.booleans()):
            mix.append(weight("again", draw(st.integers(1, 9)), recall=after, layout=layout))
        one = spec(
            f"p{i}",
            *mix,
            tokens=draw(st.integers(100, 9000)),
            sequence_length=draw(st.sampled_from([5, 10])),
            global_batch=draw(st.integers(1, 8)),
            after=after,
            layout=layout,
            on_cap=draw(st.sampled_from(OnCap)),
            allow_zero=True,
        )
        made.append(one)
        after = one.name
    return numbers, mixture([source(name, draw(_caps)) for name in names], made)


@given(_chains())
@settings(max_examples=200, deadline=None)
def test_caps_hold_over_a_chain_of_phases(drawn: tuple[Numbers, Mixture]) -> None:
    numbers, spoken = drawn
    try:
        phases = resolve(spoken, versions(numbers))
    except ConfigError as error:
        text = str(error)
    else:
        _assert_capped(spoken, phases)
        return
    assert "max_epochs" in text
    assert "\n" not in text


def _assert_capped(spoken: Mixture, phases: tuple[Phase, ...]) -> None:
    passes: dict[str, Fraction] = defaultdict(Fraction)
    windows = set()
    for phase in phases:
        assert_whole(phase)
        for supply in phase.segments[0].supplies:
            passes[supply.leaf] += Fraction(supply.quota, supply.body.samples)
            cap = spoken.source(supply.leaf).max_epochs
            assert cap is None or passes[supply.leaf] <= cap
            windows.add((phase.sequence_length, supply.body.layout))
    if len(windows) == 1:
        assert_epochs_whole(phases)


def test_what_capped_sources_leave_is_shared_by_the_weights_of_the_others() -> None:
    numbers = Numbers({"a": 1001, "b": 100_001, "c": 100_001})
    mix = [share("a", "1/2"), share("b", "3/10"), share("c", "1/5")]
    phase = spec("p", *mix, tokens=10_000, global_batch=10, on_cap=OnCap.REDISTRIBUTE)
    spoken = mixture([source("a", 2), source("b"), source("c")], [phase])
    assert quotas(resolve(spoken, versions(numbers))[0]) == {"a": 200, "b": 480, "c": 320}


def test_capping_one_source_can_cap_the_next() -> None:
    numbers = Numbers({"a": 1001, "b": 2001, "c": 100_001})
    mix = [weight("a", 6), weight("b", 2), weight("c", 2)]
    phase = spec("p", *mix, tokens=10_000, global_batch=10, on_cap=OnCap.REDISTRIBUTE)
    spoken = mixture([source("a", 1), source("b", Fraction(3, 2)), source("c")], [phase])
    assert quotas(resolve(spoken, versions(numbers))[0]) == {"a": 100, "b": 300, "c": 600}
    none_left = replace(spoken, sources=(*spoken.sources[:2], source("c", Fraction(1, 100))))
    with pytest.raises(ConfigError, match="lack"):
        resolve(none_left, versions(numbers))


@pytest.mark.parametrize("batch", [1, 4, 7, 10])
def test_shrinking_keeps_the_shares_and_is_as_long_as_can_be(batch: int) -> None:
    numbers = Numbers({"a": 1001, "b": 100_001})
    mix = [share("a", "1/2"), share("b", "1/2")]
    phase = spec("p", *mix, tokens=10_000, global_batch=batch, on_cap=OnCap.SHRINK)
    (found,) = resolve(mixture([source("a", 2), source("b")], [phase]), versions(numbers))
    assert found.samples == 400 // batch * batch
    assert abs(quotas(found)["a"] - quotas(found)["b"]) <= 1


def test_a_phase_shrinks_beside_amounts() -> None:
    numbers = Numbers({"a": 10_001, "b": 10_001})
    mix = [epochs("a", 3), weight("b")]
    phase = spec("p", *mix, tokens=100_000, on_cap=OnCap.SHRINK)
    (found,) = resolve(mixture([source("a"), source("b", 1)], [phase]), versions(numbers))
    assert quotas(found) == {"a": 3000, "b": 1000}


def test_the_error_names_source_shortfall_epochs_and_a_budget_that_fits() -> None:
    numbers = Numbers({"a": 1001, "b": 100_001})
    phase = spec("p", share("a", "1/2"), share("b", "1/2"), tokens=10_000, global_batch=8)
    spoken = mixture([source("a", 2), source("b")], [phase])
    with pytest.raises(ConfigError) as error:
        resolve(spoken, versions(numbers))
    for part in ("source a", "3,000 tokens", "at least 5", "tokens to 4,000", "redistribute"):
        assert part in str(error.value)
    fitting = replace(spoken, phases=(replace(phase, tokens=4000),))
    assert quotas(resolve(fitting, versions(numbers))[0]) == {"a": 200, "b": 200}
    with pytest.raises(ConfigError):
        resolve(replace(spoken, phases=(replace(phase, tokens=4001),)), versions(numbers))


def test_a_cap_counts_what_earlier_phases_took() -> None:
    numbers = Numbers({"a": 1001, "b": 100_001})
    first = spec("p", weight("a"), weight("b"), tokens=2400, global_batch=8)
    then = replace(first, name="q", after="p", on_cap=OnCap.SHRINK)
    spoken = mixture([source("a", 2), source("b")], [first, then])
    assert [one.samples for one in resolve(spoken, versions(numbers))] == [240, 160]
    refused = replace(spoken, phases=(first, replace(then, on_cap=OnCap.ERROR)))
    with pytest.raises(ConfigError, match=r"passed over 2\.40 times"):
        resolve(refused, versions(numbers))


def test_as_many_epochs_as_the_cap_allows_may_be_asked_for() -> None:
    numbers = Numbers({"a": 10_001, "b": 10_001})
    phase = spec("p", epochs("a", 2), epochs("b", 1), tokens=None, global_batch=7)
    (found,) = resolve(mixture([source("a", 2), source("b")], [phase]), versions(numbers))
    assert quotas(found) == {"a": 2000, "b": 1003}
    alone = spec("p", epochs("a", 2), tokens=None, global_batch=7)
    with pytest.raises(ConfigError, match='round = "down"'):
        resolve(mixture([source("a", 2)], [alone]), versions(numbers))
    down = replace(alone, round=Rounding.DOWN)
    assert resolve(mixture([source("a", 2)], [down]), versions(numbers))[0].samples == 1995
