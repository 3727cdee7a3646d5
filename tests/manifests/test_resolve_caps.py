"""Caps: kept, and what is said where they are in the way; every way out that is named is one."""

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings

from manifests.errors import ConfigError
from manifests.resolve.phases import Version, resolve
from manifests.resolve.types import Phase
from manifests.spec.types import (
    Change,
    Entry,
    Layout,
    Mixture,
    OnCap,
    PhaseSpec,
    Rounding,
    SourceSpec,
)
from tests.manifests.resolved import mixture, quotas, source, spec
from tests.manifests.supplied import Numbers
from tests.manifests.worlds import World, attempt, worlds

NEVER = Change(phase="", step=1)


def resolved(
    tokens: dict[str, int], sources: list[SourceSpec], *phases: PhaseSpec, change: Change = NEVER
) -> tuple[Phase, ...]:
    """Each leaf with so many tokens in its stream (one more is the last label)."""
    numbers = Numbers({leaf: count + 1 for leaf, count in tokens.items()})
    return resolve(mixture(sources, phases, change), [Version(supplies=numbers)] * 2)


def shares(**parts: int) -> tuple[Entry, ...]:
    """Entries by percent."""
    return tuple(Entry(name=name, share=Fraction(part, 100)) for name, part in parts.items())


def phase(name: str, tokens: int | None, mix: Sequence[Entry], **rest: object) -> PhaseSpec:
    """Windows of 16 tokens, batches of 4, unless said otherwise."""
    return spec(name, *mix, **{"tokens": tokens, "sequence_length": 16, **rest})


CAPPED = [source("a", 2), source("b")]


def test_what_lacks_is_named_with_every_way_out() -> None:
    """Of a's 1,600 tokens in windows of 16, 50 % of 8,000 are 2.5 epochs."""
    one = phase("p", 8000, shares(a=50, b=50))
    with pytest.raises(ConfigError) as raised:
        resolved({"a": 1600, "b": 16000}, CAPPED, one)
    assert str(raised.value) == (
        "phase p: source a lacks 800 tokens: it would be passed over 2.50 times, and its max_epochs"
        " is 2.00; raise its max_epochs to at least 2.50, lower tokens to 6,400, or set on_cap ="
        ' "redistribute" or "shrink"'
    )
    (fits,) = resolved({"a": 1600, "b": 16000}, CAPPED, replace(one, tokens=6400))
    assert quotas(fits) == {"a": 200, "b": 200}


def test_others_share_what_a_capped_source_leaves() -> None:
    mix = [Entry(name=n, weight=Fraction(w)) for n, w in (("a", 6), ("b", 3), ("c", 1))]
    one = phase("p", 16 * 1000, mix, on_cap=OnCap.REDISTRIBUTE)
    sources = [source("a", 1), source("b", 2), source("c")]
    (found,) = resolved({"a": 1600, "b": 4000, "c": 99999}, sources, one)
    assert quotas(found) == {"a": 100, "b": 500, "c": 400}  # b is capped by what a left


def test_an_amount_above_the_cap_is_cut_and_weights_take_the_rest() -> None:
    mix = [Entry(name="a", tokens=16 * 150), Entry(name="b", weight=Fraction(1))]
    one = phase("p", 16 * 140, mix, on_cap=OnCap.REDISTRIBUTE)
    (found,) = resolved({"a": 1600, "b": 1600}, [source("a", 1), source("b")], one)
    assert quotas(found) == {"a": 100, "b": 40}


def test_a_phase_shrinks_and_keeps_its_shares() -> None:
    one = phase("p", 16 * 1000, shares(a=60, b=40), on_cap=OnCap.SHRINK)
    (found,) = resolved({"a": 1600, "b": 99999}, [source("a", 1), source("b")], one)
    assert quotas(found) == {"a": 98, "b": 66}  # 164 of 166 that would fit, in batches of 4


def test_amounts_stay_while_a_phase_shrinks() -> None:
    """A search over lengths would stop below the amount; there is room for 145 to 195 samples."""
    mix = [Entry(name="a", tokens=16 * 145), Entry(name="b", weight=Fraction(1))]
    one = phase("p", 16 * 400, mix, on_cap=OnCap.SHRINK)
    (found,) = resolved({"a": 3200, "b": 800}, [source("a"), source("b", 1)], one)
    assert quotas(found) == {"a": 145, "b": 47}


def test_a_phase_that_cannot_shrink_enough_says_whose_cap_it_is() -> None:
    mix = [Entry(name="a", tokens=16 * 150), Entry(name="b", weight=Fraction(1))]
    one = phase("p", 16 * 400, mix, on_cap=OnCap.SHRINK)
    with pytest.raises(ConfigError, match=r"lacks 800 tokens.*max_epochs to at least 1.50, or ask"):
        resolved({"a": 1600, "b": 1600}, [source("a", 1), source("b")], one)


def test_caps_count_over_all_phases_of_a_chain_and_no_others() -> None:
    first = phase("p", 1600, shares(a=100))
    second = replace(first, name="q", after="p")
    other = replace(first, name="r", after="p")
    sources = [source("a", 2)]
    assert len(resolved({"a": 1600}, sources, first, second, other)) == 3
    with pytest.raises(ConfigError, match=r"phase s: .* 3.00 times, and its max_epochs is 2.00"):
        resolved({"a": 1600}, sources, first, second, replace(first, name="s", after="q"))


def test_epochs_of_other_windows_count_by_their_part() -> None:
    first = phase("p", 1600, shares(a=100))
    second = phase("q", 800, shares(a=100), after="p", sequence_length=32, global_batch=5)
    for most, fits in ((Fraction(3, 2), True), (Fraction(149, 100), False)):
        if fits:
            resolved({"a": 1600}, [source("a", most)], first, second)
            continue
        with pytest.raises(ConfigError, match="phase q: source a lacks 16 tokens"):
            resolved({"a": 1600}, [source("a", most)], first, second)


def test_each_stratum_has_the_cap_of_its_source() -> None:
    one = phase("p", 16 * 400, shares(a=100))
    with pytest.raises(ConfigError, match="source a/x lacks 1,600 tokens"):
        resolved({"a/x": 800, "a/y": 800}, [source("a", 2)], one)


def test_rounding_to_whole_steps_takes_no_leaf_beyond_its_cap() -> None:
    """2 epochs of 101 samples are 50.5 steps; what rounding adds is nobody's wish."""
    mix = [Entry(name="a", epochs=Fraction(2))]
    one = phase("p", None, mix)
    for rounding in (Rounding.DOWN, Rounding.UP):
        if rounding is Rounding.DOWN:
            (found,) = resolved({"a": 1616}, CAPPED, replace(one, round=rounding))
            assert quotas(found) == {"a": 200}
            continue
        with pytest.raises(ConfigError, match=r'51 whole steps, is 2 samples more.*round = "down"'):
            resolved({"a": 1616}, CAPPED, one)
    with_b = replace(one, mix=(*mix, Entry(name="b", epochs=Fraction(1))))
    (found,) = resolved({"a": 1616, "b": 1600}, CAPPED, with_b)
    assert quotas(found) == {"a": 202, "b": 102}


def test_half_an_epoch_of_an_odd_number_of_samples_is_not_above_half_an_epoch() -> None:
    mix = [Entry(name="a", epochs=Fraction(3, 2)), Entry(name="b", weight=Fraction(1))]
    sources = [source("a", Fraction(3, 2)), source("b")]
    (found,) = resolved({"a": 1616, "b": 16000}, sources, phase("p", 16 * 200, mix))
    assert quotas(found) == {"a": 151, "b": 49}


def test_a_used_up_source_is_no_source_without_a_sample() -> None:
    first = phase("p", 1600, shares(a=100))
    second = phase("q", 1600, shares(a=50, b=50), after="p", on_cap=OnCap.REDISTRIBUTE)
    found = resolved({"a": 1600, "b": 16000}, [source("a", 1), source("b")], first, second)
    assert quotas(found[1]) == {"b": 100}


def test_a_budget_that_a_change_can_have_is_of_the_whole_phase() -> None:
    one = phase("p", 16 * 400, shares(a=50, b=50))
    change = Change(phase="p", step=50, mix=shares(a=100))
    with pytest.raises(ConfigError, match="lower tokens to 4,800, or") as raised:
        resolved({"a": 1600, "b": 99999}, CAPPED, one, change=change)
    assert '"redistribute"' not in str(raised.value)  # nobody else is there
    fitting = replace(change, budget=4800)
    (found,) = resolved({"a": 1600, "b": 99999}, CAPPED, one, change=fitting)
    assert found.samples == 300


def failing(world: World) -> tuple[Mixture, str, PhaseSpec, int] | None:
    """The shortest part of the mixture that does not resolve: its error, phase, and change."""
    phases = world.mixture.phases
    for count in range(1, len(phases) + 1):
        names = {one.name for one in phases[:count]}
        all_of_it = world.mixture.changes
        for number in range(len(all_of_it) + 1):
            if number and all_of_it[number - 1].phase not in names:
                continue
            changes = tuple(c if c.phase in names else NEVER for c in all_of_it[:number])
            part = replace(world.mixture, phases=phases[:count], changes=changes)
            if error := why_not(world, part):
                return part, error, phases[count - 1], number
    return None


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_way_out_that_is_named_is_one(world: World) -> None:
    found = failing(world)
    if found is None or " lack" not in found[1]:
        return
    part, error, spec, number = found
    last = part.changes[number - 1].phase if number else spec.name
    if last != spec.name or not error.startswith(f"phase {spec.name}:"):
        return  # some segment of a phase that follows the changed one

    def with_phase(**values: object) -> Mixture:
        changed = replace(spec, **values)  # type: ignore[arg-type]
        return replace(part, phases=(*part.phases[:-1], changed))

    def with_budget(tokens: int) -> Mixture:
        mine = [n for n, one in enumerate(part.changes) if one.phase == spec.name]
        if not mine:
            return with_phase(tokens=tokens)
        changes = list(part.changes)
        changes[mine[-1]] = replace(changes[mine[-1]], budget=tokens)
        return replace(part, changes=tuple(changes))

    if way := re.search(r"lower tokens to ([\d,]+)", error):
        tokens = int(way[1].replace(",", ""))
        phases = world.resolved(with_budget(tokens))
        assert phases[-1].samples * spec.sequence_length == tokens
        more = tokens + phases[-1].segments[-1].global_batch * spec.sequence_length
        with pytest.raises(ConfigError, match="lack"):
            world.resolved(with_budget(more))
    for on_cap in re.findall(r'"(redistribute|shrink)"', error):
        world.resolved(with_phase(on_cap=OnCap(on_cap)))
    if way := re.search(r"source (\S+) lacks .*max_epochs to at least ([\d.]+)", error):
        name = way[1].partition("/")[0]
        sources = tuple(
            replace(one, max_epochs=Fraction(way[2])) if one.name == name else one
            for one in part.sources
        )
        higher = replace(part, sources=sources)
        if not same_before(world, part, higher):  # with a higher cap they may take more
            return
        assert f"source {way[1]} lacks" not in why_not(world, higher)


def why_not(world: World, mixture: Mixture) -> str:
    """Why a mixture does not resolve; nothing if it does."""
    try:
        world.resolved(mixture)
    except ConfigError as error:
        return str(error)
    return ""


def same_before(world: World, one: Mixture, other: Mixture) -> bool:
    """Whether what stands before the last phase, or before its last change, is resolved alike."""
    last = one.phases[-1].name
    mine = [number for number, c in enumerate(one.changes) if c.phase == last]
    changes = tuple(NEVER if n in mine[-1:] else c for n, c in enumerate(one.changes))
    phases = slice(None) if mine else slice(-1)
    first, second = (
        attempt(world, replace(part, phases=part.phases[phases], changes=changes))
        for part in (one, other)
    )
    return first == second


def test_a_budget_below_its_amounts_says_by_how_much() -> None:
    mix = [Entry(name="a", epochs=Fraction(2)), Entry(name="b", weight=Fraction(1))]
    with pytest.raises(ConfigError, match=r"for 200 samples.*leaves 100; raise tokens above 3,200"):
        resolved({"a": 1600, "b": 1600}, CAPPED, phase("p", 1600, mix))


def test_a_source_may_not_go_without_unless_it_is_allowed_to() -> None:
    mix = [Entry(name="a", weight=Fraction(1, 10**9)), Entry(name="b", weight=Fraction(1))]
    one = phase("p", 1600, mix)
    with pytest.raises(ConfigError, match="source a would get no sample of 100"):
        resolved({"a": 1600, "b": 1600}, CAPPED, one)
    (found,) = resolved({"a": 1600, "b": 1600}, CAPPED, replace(one, allow_zero=True))
    assert quotas(found) == {"b": 100}


def test_a_source_that_had_samples_may_have_none_in_a_short_rest() -> None:
    one = phase("p", 16 * 400, shares(a=10, b=90))
    change = Change(phase="p", step=99, mix=shares(a=1, b=99))
    (found,) = resolved({"a": 1600, "b": 16000}, CAPPED, one, change=change)
    assert [one.leaf for one in found.segments[1].supplies] == ["b"]


def test_documents_that_fill_windows_badly_take_more_samples_for_their_share() -> None:
    """Documents of 1,000 tokens: a window of 1,250 is filled to 80 %."""
    layouts = (Layout.STREAM, Layout.DOCUMENT)
    mix = [replace(e, layout=how) for e, how in zip(shares(a=50, b=50), layouts, strict=True)]
    one = phase("p", 1250 * 900, mix, sequence_length=1250, global_batch=9)
    (found,) = resolved({"a": 10**6, "b": 10**6}, [source("a"), source("b")], one)
    assert quotas(found) == {"a": 400, "b": 500}
