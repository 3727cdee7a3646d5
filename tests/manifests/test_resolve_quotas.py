"""Quotas against a plain reading of the rules."""

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.resolve.apportion import apportion
from manifests.resolve.phases import resolve
from manifests.spec.types import Cursor, Entry, Layout, PhaseSpec, Rounding, Strata, Unit
from tests.manifests.resolved import (
    assert_epochs_whole,
    assert_whole,
    epochs,
    mixture,
    quotas,
    share,
    source,
    sources,
    spec,
    versions,
    weight,
)
from tests.manifests.supplied import Numbers

B = 10**9


def test_the_report_s_mixture_comes_out_with_the_report_s_epochs() -> None:
    unique = {"web": 1300, "rewrite": 290, "synthetic": 290, "code": 820, "acquired": 580}  # [R]
    shares = {"web": 15, "rewrite": 15, "synthetic": 40, "code": 20, "acquired": 10}  # [R]
    numbers = Numbers({name: size * B for name, size in unique.items()})
    mix = [share(name, f"{percent}/100") for name, percent in shares.items()]
    whole = spec("pretrain", *mix, tokens=10_000 * B, sequence_length=4096, global_batch=5760)
    (phase,) = resolve(mixture(sources(unique), [whole]), versions(numbers))
    assert_whole(phase)
    assert phase.samples == 5760 * ceil(Fraction(10_000 * B, 4096 * 5760))
    found = {one.leaf: one.quota / one.body.samples for one in phase.segments[0].supplies}
    expected = {"web": 1.2, "rewrite": 5.2, "synthetic": 13.8, "code": 2.4, "acquired": 1.7}  # [R]
    assert {name: round(number, 1) for name, number in found.items()} == expected


_parts = st.fractions(Fraction(1, 50), 50, max_denominator=50)


@st.composite
def _phases(draw: st.DrawFn) -> tuple[Numbers, PhaseSpec]:
    names = [f"s{i}" for i in range(draw(st.integers(1, 6)))]
    tokens = {name: draw(st.integers(200, 10**6)) for name in names}
    mix = [weight(name, draw(_parts)) for name in names]
    for i in range(draw(st.integers(0, len(names) - 1))):
        if draw(st.booleans()):
            mix[i] = Entry(name=names[i], tokens=draw(st.integers(1, 300)))
        else:
            mix[i] = epochs(names[i], draw(st.fractions(Fraction(1, 9), 3, max_denominator=9)))
    whole = spec(
        "p",
        *mix,
        tokens=draw(st.integers(4000, 10**7)),
        sequence_length=draw(st.integers(1, 64)),
        global_batch=draw(st.integers(1, 50)),
        layout=draw(st.sampled_from(Layout)),
        unit=draw(st.sampled_from(Unit)),
        round=draw(st.sampled_from(Rounding)),
        allow_zero=True,
    )
    return Numbers(tokens, document=37), whole


def _exact(numbers: Numbers, phase: PhaseSpec, total: int) -> dict[str, Fraction]:
    """Samples of each source, not rounded, as the rules say it in words."""
    found, parts = {}, {}
    for entry in phase.mix:
        body = numbers.of(entry.name, phase.layout, phase.sequence_length).body
        per_token = Fraction(body.samples, body.tokens)
        if entry.tokens is not None:
            found[entry.name] = entry.tokens * per_token
        elif entry.epochs is not None:
            found[entry.name] = entry.epochs * body.samples
        else:
            part = entry.weight or Fraction()
            parts[entry.name] = part * per_token if phase.unit is Unit.TOKENS else part
    rest, whole = total - sum(found.values(), Fraction()), sum(parts.values(), Fraction())
    return found | {name: rest * part / whole for name, part in parts.items()}


@given(_phases())
@settings(max_examples=200, deadline=None)
def test_quotas_are_the_exact_shares_rounded_by_the_largest_remainder(
    drawn: tuple[Numbers, PhaseSpec],
) -> None:
    numbers, phase = drawn
    spoken = mixture(sources(numbers.tokens), [phase])
    exact_batches = Fraction(phase.tokens or 0, phase.sequence_length * phase.global_batch)
    rounded = {
        Rounding.UP: ceil(exact_batches),
        Rounding.DOWN: floor(exact_batches),
        Rounding.NEAREST: floor(exact_batches + Fraction(1, 2)),
    }
    total = rounded[phase.round] * phase.global_batch
    exact = _exact(numbers, phase, total)
    if not total or min(exact.values()) < 0:
        with pytest.raises(ConfigError):
            resolve(spoken, versions(numbers))
        return
    (found,) = resolve(spoken, versions(numbers))
    assert_whole(found)
    ranked = sorted(exact, key=lambda name: (-(exact[name] % 1), name))
    up = ranked[: total - sum(map(floor, exact.values()))]
    expected = {name: floor(exact[name]) + (name in up) for name in sorted(exact)}
    assert quotas(found) == {name: quota for name, quota in expected.items() if quota}
    assert resolve(spoken, versions(numbers)) == (found,)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10**30), min_size=1))
def test_an_apportionment_is_off_by_less_than_one_each_and_by_nothing_in_all(
    parts: dict[str, int],
) -> None:
    whole, total = sum(parts.values()), 1000
    if not whole:
        return
    given_out = apportion({name: part * total for name, part in parts.items()}, whole, total)
    assert sum(given_out.values()) == total
    assert all(abs(given_out[n] - Fraction(parts[n] * total, whole)) < 1 for n in parts)


def test_equal_remainders_go_to_the_names_that_sort_first() -> None:
    assert apportion({"c": 1, "b": 1, "a": 1}, 3, 1) == {"a": 1, "b": 0, "c": 0}
    with pytest.raises(ValueError, match="are not"):
        apportion({"a": 1}, 2, 1)


def test_epochs_come_out_exactly_beside_a_weight() -> None:
    numbers = Numbers({"a": 10001, "b": 777, "c": 5555})
    phase = spec("p", epochs("a", Fraction(3, 2)), epochs("b", 2), weight("c"), tokens=100_000)
    (found,) = resolve(mixture(sources("abc"), [phase]), versions(numbers))
    assert quotas(found) == {"a": 1500, "b": 154, "c": 8346}


def test_a_phase_without_a_budget_is_as_long_as_its_entries_and_spreads_what_rounding_adds() -> (
    None
):
    numbers = Numbers({"a": 10001, "b": 10001})
    phase = spec("p", epochs("a", 3), epochs("b", 1), tokens=None, global_batch=500)
    for rounding, expected in (
        (Rounding.UP, {"a": 3000, "b": 1000}),
        (Rounding.DOWN, {"a": 3000, "b": 1000}),
    ):
        one = replace(phase, round=rounding)
        assert quotas(resolve(mixture(sources("ab"), [one]), versions(numbers))[0]) == expected
    longer = replace(phase, global_batch=1001)
    found = quotas(resolve(mixture(sources("ab"), [longer]), versions(numbers))[0])
    assert found == {"a": 3003, "b": 1001}


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        (Strata(by="bucket"), (1000, 4000)),
        (Strata(by="bucket", rule="equal"), (2500, 2500)),
        (Strata(by="bucket", rule="sqrt"), (1667, 3333)),
        (
            Strata(by="bucket", rule="weights", weights=(("*", Fraction(4)), ("y", Fraction(1)))),
            (2500, 2500),
        ),
    ],
)
def test_strata_divide_a_source_by_their_rule(strata: Strata, expected: tuple[int, int]) -> None:
    numbers = Numbers({"a/x": 10001, "a/y": 40001})
    phase = spec("p", weight("a"), tokens=50_000, global_batch=1)
    (found,) = resolve(mixture([source("a", strata=strata)], [phase]), versions(numbers))
    assert (quotas(found)["a/x"], quotas(found)["a/y"]) == expected


def test_a_recall_brings_sources_back_in_their_proportions_and_goes_on_with_them() -> None:
    numbers = Numbers(dict.fromkeys("abc", 10001))
    first = spec("p", weight("a", 3), weight("b"))
    then = spec("q", weight("c"), weight("back", recall="p"), tokens=8000, after="p")
    phases = resolve(mixture(sources("abc"), [first, then]), versions(numbers))
    assert quotas(phases[1]) == {"a": 300, "b": 100, "c": 400}
    assert [one.cursor for one in phases[1].segments[0].supplies] == [300, 100, 0]
    assert_epochs_whole(phases)


def test_a_source_named_and_recalled_comes_once_with_both_amounts() -> None:
    numbers = Numbers({"a": 10001, "b": 10001})
    first = spec("p", weight("a"), weight("b"))
    then = spec("q", weight("a"), weight("back", recall="p"), after="p")
    _, found = resolve(mixture(sources("ab"), [first, then]), versions(numbers))
    assert quotas(found) == {"a": 300, "b": 100}
    other = replace(then, mix=(weight("a", layout=Layout.DOCUMENT), *then.mix[1:]))
    with pytest.raises(ConfigError, match="source a comes in by two entries"):
        resolve(mixture(sources("ab"), [first, other]), versions(numbers))


def test_other_windows_begin_a_fresh_epoch_and_a_restart_the_first() -> None:
    numbers = Numbers({"a": 1001, "b": 1001})
    first = spec("p", weight("a"), weight("b"), tokens=3000)
    restart = weight("b", cursor=Cursor.RESTART)
    then = spec("q", weight("a"), restart, tokens=2000, sequence_length=20, after="p")
    last = spec("r", weight("a"), tokens=500, after="q")
    phases = resolve(mixture(sources("ab"), [first, then, last]), versions(numbers))
    begins = [
        (one.leaf, one.cursor, one.first_epoch)
        for phase in phases
        for one in phase.segments[0].supplies
    ]
    assert begins == [("a", 0, 0), ("b", 0, 0), ("a", 0, 2), ("b", 0, 0), ("a", 0, 3)]


def test_phases_that_follow_the_same_one_begin_alike() -> None:
    numbers = Numbers({"a": 1001, "b": 1001})
    first = spec("p", weight("a"), tokens=320)
    both = [spec("q", weight("a"), after="p"), spec("r", weight("a"), weight("b"), after="p")]
    phases = resolve(mixture(sources("ab"), [first, *both]), versions(numbers))
    assert [one.segments[0].supplies[0].cursor for one in phases] == [0, 32, 32]


def test_a_weight_too_small_for_a_sample_is_refused_unless_that_is_allowed() -> None:
    numbers = Numbers({"a": 10001, "b": 10001})
    phase = spec("p", weight("a", Fraction(1, 10**9)), weight("b"))
    with pytest.raises(ConfigError, match=r"source a .*allow_zero = true"):
        resolve(mixture(sources("ab"), [phase]), versions(numbers))
    allowed = replace(phase, allow_zero=True)
    (found,) = resolve(mixture(sources("ab"), [allowed]), versions(numbers))
    assert quotas(found) == {"b": 400}


def test_a_budget_below_a_step_is_one_step_or_refused() -> None:
    numbers = Numbers({"a": 10001})
    phase = spec("p", weight("a"), tokens=1)
    assert resolve(mixture(sources("a"), [phase]), versions(numbers))[0].samples == 4
    for rounding in (Rounding.DOWN, Rounding.NEAREST):
        with pytest.raises(ConfigError, match="less than one step"):
            resolve(mixture(sources("a"), [replace(phase, round=rounding)]), versions(numbers))


def test_amounts_above_the_budget_are_refused() -> None:
    numbers = Numbers({"a": 10001, "b": 10001})
    phase = spec("p", epochs("a", 1), weight("b"))
    with pytest.raises(ConfigError, match="raise tokens above 10,000"):
        resolve(mixture(sources("ab"), [phase]), versions(numbers))


def test_more_samples_than_an_order_can_hold_are_refused() -> None:
    numbers = Numbers({"a": 10001})
    long = spec("p", weight("a"), tokens=2**45 * 10)
    assert resolve(mixture(sources("a"), [long]), versions(numbers))[0].samples == 2**45
    with pytest.raises(ConfigError, match="the most that a phase may have"):
        resolve(mixture(sources("a"), [replace(long, tokens=2**51 * 10)]), versions(numbers))


def test_a_source_that_is_gone_is_refused() -> None:
    with pytest.raises(ConfigError, match="take b out of the mix"):
        resolve(
            mixture(sources("ab"), [spec("p", weight("a"), weight("b"))]),
            versions(Numbers({"a": 10001})),
        )
