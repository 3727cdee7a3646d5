"""Changes and rebases, held against the orders that they make."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.resolve.phases import Version, rebase, resolve
from manifests.spec.types import Change, Cursor, Entry, Layout, Mixture
from tests.manifests.resolved import (
    Gone,
    assert_epochs_whole,
    assert_whole,
    epochs,
    mixture,
    quotas,
    rows,
    share,
    sources,
    spec,
    versions,
    weight,
)
from tests.manifests.supplied import Numbers

AB = Numbers({"a": 10_001, "b": 10_001})
HALVES = spec("p", share("a", "1/2"), share("b", "1/2"))


@st.composite
def _changed(draw: st.DrawFn) -> tuple[Mixture, list[Numbers], list[float]]:
    names = [f"s{i}" for i in range(draw(st.integers(1, 4)))]
    whole = [weight(name, draw(st.integers(1, 9))) for name in names]
    batch = st.integers(1, 9)
    tokens = draw(st.integers(2000, 12_000))
    first = spec("p", *whole, tokens=tokens, global_batch=draw(batch), allow_zero=True)
    then = spec("q", *whole, tokens=2000, after="p", allow_zero=True)
    sizes = {name: draw(st.integers(60, 2000)) for name in names}
    changes, numbers, parts = [], [Numbers(sizes)], [0.0]
    step = 0
    for _ in range(draw(st.integers(1, 3))):
        step += draw(st.integers(1, (tokens // 90 - 2) // 3))
        mix = [weight(name, draw(st.integers(1, 9))) for name in names if draw(st.integers(0, 4))]
        changes.append(
            Change(
                phase="p",
                step=step,
                mix=tuple(mix),
                budget=draw(st.none() | st.integers(20_000, 30_000)),
                global_batch=draw(st.none() | batch),
            )
        )
        if draw(st.booleans()):
            sizes = {name: draw(st.sampled_from([n, 30 + n // 2])) for name, n in sizes.items()}
        numbers.append(Numbers(sizes))
        parts.append(parts[-1] + draw(st.sampled_from([0.0, 0.05, 0.3])))
    return mixture(sources(names), [first, then], *changes), numbers, parts[1:]


@given(_changed())
@settings(max_examples=100, deadline=None)
def test_a_change_keeps_what_came_before_and_breaks_no_epoch(
    drawn: tuple[Mixture, list[Numbers], list[float]],
) -> None:
    spoken, numbers, parts = drawn
    there = versions(*numbers, parts=parts)
    # The last version's holes say what is gone by then; that is all that may ever be missing.
    holes = there[-1].holes
    assert isinstance(holes, Gone)
    before = resolve(replace(spoken, changes=()), there)[0]
    for many, change in enumerate(spoken.changes, 1):
        phases = resolve(replace(spoken, changes=spoken.changes[:many]), there)
        for phase in phases:
            assert_whole(phase)
        last = phases[0].segments[-1]
        assert last.first_step == change.step
        assert list(rows(phases[0], holes))[: last.start] == list(rows(before, holes))[: last.start]
        assert_epochs_whole(phases, holes)
        before = phases[0]
    assert resolve(spoken, there) == phases


def test_a_change_without_a_mix_keeps_mix_and_budget_of_the_one_before() -> None:
    changes = (
        Change(phase="p", step=20, mix=(weight("a"),), budget=8000),
        Change(phase="p", step=40, global_batch=8),
    )
    (found,) = resolve(mixture(sources("ab"), [HALVES], *changes), versions(AB, AB, AB))
    assert [(one.stop, one.global_batch) for one in found.segments] == [(80, 4), (160, 4), (800, 8)]
    assert [[(s.leaf, s.quota, s.cursor) for s in one.supplies] for one in found.segments] == [
        [("a", 40, 0), ("b", 40, 0)],
        [("a", 80, 40)],
        [("a", 640, 120)],
    ]


def test_a_change_does_not_restart_what_its_phase_has_begun() -> None:
    then = spec("q", weight("a", cursor=Cursor.RESTART), weight("b"), after="p")
    change = Change(phase="q", step=20, global_batch=8)
    spoken = mixture(sources("ab"), [spec("p", weight("a")), then], change)
    _, found = resolve(spoken, versions(AB, AB))
    assert [one.supplies[0].cursor for one in found.segments] == [0, 40]


def test_of_amounts_a_change_gives_what_is_left() -> None:
    phase = spec("p", Entry(name="a", tokens=2000), weight("b"))
    change = Change(phase="p", step=51, global_batch=2)
    (found,) = resolve(mixture(sources("ab"), [phase], change), versions(AB, AB))
    assert quotas(found) == {"a": 200, "b": 200}


@pytest.mark.parametrize("step", [0, 100, 101])
def test_a_change_outside_of_its_phase_is_refused(step: int) -> None:
    change = Change(phase="p", step=step, global_batch=8)
    with pytest.raises(ConfigError, match=f"step {step}"):
        resolve(mixture(sources("ab"), [HALVES], change), versions(AB, AB))


@pytest.mark.parametrize(("tokens", "step"), [(1, 1), (40, 1), (41, 2), (400, 10)])
def test_tokens_of_a_change_are_rounded_up_to_a_step(tokens: int, step: int) -> None:
    change = Change(phase="p", tokens=tokens, global_batch=8)
    (found,) = resolve(mixture(sources("ab"), [HALVES], change), versions(AB, AB))
    assert found.segments[1].first_step == step


def test_two_changes_within_an_epoch_let_it_come_to_its_end() -> None:
    numbers = [Numbers({"a": size, "b": 9001}) for size in (1001, 801, 701)]
    changes = [Change(phase="p", step=step, global_batch=4) for step in (20, 30)]
    there = versions(*numbers, parts=[0.1, 0.3])
    (found,) = resolve(mixture(sources("ab"), [HALVES], *changes), there)
    second, third = (one.supplies[0] for one in found.segments[1:])
    assert second.head
    assert third.head
    assert second.head.epoch == third.head.epoch == 0
    assert second.head.start < third.head.start
    assert (third.first_epoch, third.cursor, third.body.samples) == (1, 0, 70)
    holes = there[-1].holes
    assert isinstance(holes, Gone)
    assert_epochs_whole([found], holes)
    gone = set(holes.samples("a", 100).tolist())
    late = list(rows(found, holes))[120:]
    assert not gone & {sample for leaf, _, epoch, sample in late if (leaf, epoch) == ("a", 0)}


def _now(numbers: Numbers = AB, part: float = 0.0) -> Version:
    return Version(supplies=numbers, holes=Gone(part))


@pytest.mark.parametrize("step", [1, 37, 50])
def test_a_rebase_on_an_unedited_mixture_changes_no_totals(step: int) -> None:
    for phase in (
        spec("p", Entry(name="a", tokens=2000), weight("b")),
        spec("p", epochs("a", 2), epochs("b", 1), tokens=None),
        HALVES,
    ):
        spoken = mixture(sources("ab"), [phase])
        phases = resolve(spoken, versions(AB))
        (found,) = rebase(phases, spoken, "p", step, _now()).phases
        assert_whole(found)
        assert quotas(found) == quotas(phases[0])
        assert list(rows(found))[: 4 * step] == list(rows(phases[0]))[: 4 * step]


def test_a_rebase_follows_edited_amounts() -> None:
    def of(many: int) -> Mixture:
        return mixture(sources("a"), [spec("p", epochs("a", many), tokens=None)])

    phases = resolve(of(2), versions(AB))
    (found,) = rebase(phases, of(3), "p", 100, _now()).phases
    assert quotas(found) == {"a": 3000}


def test_a_phase_that_is_over_can_be_made_longer_and_none_shorter_than_it_is() -> None:
    phases = resolve(mixture(sources("ab"), [HALVES]), versions(AB))

    def rebased(tokens: int, step: int) -> int:
        spoken = mixture(sources("ab"), [replace(HALVES, tokens=tokens)])
        return rebase(phases, spoken, "p", step, _now()).phases[0].samples

    assert rebased(8000, 100) == 800
    assert rebased(2400, 50) == 240
    with pytest.raises(ConfigError, match="step 101"):
        rebased(8000, 101)
    with pytest.raises(ConfigError, match="raise tokens"):
        rebased(400, 50)


@pytest.mark.parametrize("step", [10, 20, 30])
def test_a_rebase_keeps_the_changes_after_it_and_what_those_before_it_made(step: int) -> None:
    change = Change(phase="p", step=20, mix=(weight("a"),))
    spoken = mixture(sources("ab"), [HALVES], change)
    phases = resolve(spoken, versions(AB, AB))
    (found,) = rebase(phases, spoken, "p", step, _now()).phases
    assert_whole(found)
    assert quotas(found) == quotas(phases[0]) == {"a": 360, "b": 40}


def test_a_rebase_leaves_what_came_before_and_beside_it_alone() -> None:
    then = [spec("q", weight("a"), after="p"), spec("r", weight("b"), after="p")]
    last = spec("s", weight("b"), after="q")
    spoken = mixture(sources("ab"), [HALVES, *then, last])
    phases = resolve(spoken, versions(AB))
    edited = mixture(sources("ab"), [HALVES, replace(then[0], mix=(weight("b"),)), then[1], last])
    for step in (0, 50):
        found = rebase(phases, edited, "q", step, _now()).phases
        assert (found[0], found[2]) == (phases[0], phases[2])
        assert quotas(found[1]).get("a", 0) == 4 * step
        assert found[3].segments[0].supplies[0].cursor == 200 + 400 - 4 * step
        for phase in found:
            assert_whole(phase)


def test_the_window_of_a_phase_cannot_change_on_the_way() -> None:
    phases = resolve(mixture(sources("ab"), [HALVES]), versions(AB))
    spoken = mixture(sources("ab"), [replace(HALVES, sequence_length=20)])
    with pytest.raises(ConfigError, match="sequence_length is 10 and cannot become 20"):
        rebase(phases, spoken, "p", 50, _now())
    (found,) = rebase(phases, spoken, "p", 0, _now()).phases
    assert found.sequence_length == 20


def test_an_account_counts_what_is_skipped_and_repeated_and_finds_nothing_lost() -> None:
    numbers = Numbers(dict.fromkeys("abcd", 10_001))
    phases = resolve(
        mixture(sources("abcd"), [spec("p", *map(weight, "abcd"), tokens=16_000)]),
        versions(numbers),
    )
    mix = (weight("a"), weight("b"), weight("c", layout=Layout.DOCUMENT))
    spoken = mixture(sources("abcd"), [spec("p", *mix, tokens=16_000)])
    now = Numbers({"a": 10_001, "b": 8001, "c": 10_001}, document=10)
    found = rebase(phases, spoken, "p", 100, _now(now, part=0.1))
    a, b, c, d = found.account
    assert [one.leaf for one in found.account] == list("abcd")
    assert {(one.samples, one.tokens, one.consumed, one.lost) for one in found.account} == {
        (100, 1000, 100, 0)
    }
    assert (a.going_on, a.skipped, a.repeated, a.cursor, a.epoch) == (900, 0, 0, 100, 0)
    head = found.phases[0].segments[1].supplies[1].head
    assert head
    assert (b.going_on, b.skipped, b.repeated) == (head.count, 900 - head.count, 0)
    assert 0 < b.skipped < 900
    assert b.skipped_tokens == 10 * b.skipped
    assert (c.going_on, c.skipped, c.repeated, c.cursor, c.epoch) == (900, 0, 100, 0, 1)
    assert (d.going_on, d.skipped, d.repeated) == (0, 900, 0)
    total = found.total
    assert (total.samples, total.tokens, total.lost) == (400, 4000, 0)
    assert total.skipped == b.skipped + 900


@given(st.integers(1, 199), st.sampled_from([0.0, 0.1, 0.5]), st.integers(300, 1500))
@settings(max_examples=60, deadline=None)
def test_an_account_agrees_with_the_order(step: int, part: float, size: int) -> None:
    numbers = Numbers({"a": 1001, "b": 1501})
    phase = spec("p", weight("a"), weight("b", Fraction(1, 2)), tokens=8000)
    spoken = mixture(sources("ab"), [phase])
    phases = resolve(spoken, versions(numbers))
    holes = Gone(part)
    now = Version(supplies=Numbers({"a": size, "b": 1501}), holes=holes)
    found = rebase(phases, replace(spoken, phases=(replace(phase, tokens=20_000),)), "p", step, now)
    all_rows = list(rows(found.phases[0], holes))
    old = found.phases[0].segments[0].supplies[0].body
    before, after = all_rows[: 4 * step], all_rows[4 * step :]
    one = found.account[0]
    assert one.samples == sum(row[0] == "a" for row in before)
    assert one.consumed == one.samples % old.samples
    if one.consumed and size != 1001:
        epoch = one.samples // old.samples
        rest = {row[3] for row in after if row[:3] == ("a", old.table, epoch)}
        assert len(rest) == one.going_on
        trained = {row[3] for row in before if row[:3] == ("a", old.table, epoch)}
        missing = set(range(old.samples)) - rest - trained
        assert len(missing) == one.skipped
        assert missing <= set(holes.samples("a", old.samples).tolist())
    assert found.total.lost == 0
