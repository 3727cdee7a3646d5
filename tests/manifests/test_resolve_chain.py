"""Chains of phases and changes, resolved and then walked sample by sample."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.resolve.state import chain_to, state_after
from manifests.spec.types import Entry
from tests.manifests.resolved import assert_whole
from tests.manifests.walked import walk
from tests.manifests.worlds import World, assert_epochs, attempt, worlds


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_epochs_of_every_leaf_follow_one_another_over_any_chain(world: World) -> None:
    phases = attempt(world)
    walked = {phase.name: walk(world.library, phase) for phase in phases}
    for phase in phases:
        assert_whole(phase)
        chain = chain_to(phases, phase.name)
        seen = (one for part in chain for one in walked[part.name])
        assert_epochs(world.library, seen, world.there)
        for leaf, progress in state_after(chain).items():
            most = world.mixture.source(leaf.partition("/")[0]).max_epochs
            assert most is None or progress.passes <= most


@settings(max_examples=40, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_same_again_and_in_any_order_of_entries(world: World, chance: random.Random) -> None:
    def shuffled(mix: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return tuple(chance.sample(mix, len(mix)))

    other = replace(
        world.mixture,
        sources=shuffled(world.mixture.sources),  # type: ignore[arg-type]
        phases=tuple(replace(one, mix=shuffled(one.mix)) for one in world.mixture.phases),
        changes=tuple(replace(one, mix=shuffled(one.mix)) for one in world.mixture.changes),
    )
    phases = attempt(world)
    assert attempt(world) == phases
    assert attempt(world, other) == phases


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_what_was_before_a_change_stays_sample_for_sample(world: World) -> None:
    before = attempt(world, replace(world.mixture, changes=world.mixture.changes[:-1]))
    if not (phases := attempt(world)) or not before or not world.mixture.changes:
        return
    change = world.mixture.changes[-1]
    touched = [change.phase]
    for old, new in zip(before, phases, strict=True):
        if new.after in touched:
            touched.append(new.name)
            continue
        if new.name != change.phase:
            assert old == new
            continue
        begins = new.segments[-1].start
        assert new.segments[-1].first_step == change.step
        kept = [replace(one, segment=0) for one in walk(world.library, old)[:begins]]
        assert [replace(one, segment=0) for one in walk(world.library, new)[:begins]] == kept
