"""What a rebase says that it costs, against what was and is then trained on."""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.resolve.account import LeafAccount
from manifests.resolve.phases import Rebased, rebase
from manifests.resolve.state import chain_to
from manifests.resolve.types import Body, Phase, Supply
from manifests.spec.types import Change, Cursor, Entry, Layout, Mixture
from tests.manifests.walked import Seen, samples_with, walk
from tests.manifests.worlds import World, assert_epochs, mixes, worlds


@dataclass
class Rebasing:
    """A world whose phase `name` is to go on otherwise from a step."""

    world: World
    phases: tuple[Phase, ...]
    edited: Mixture
    name: str
    step: int
    documents: dict[str, list[int]]

    def made(self) -> Rebased:
        now = self.world.library.version(self.documents)
        return rebase(self.phases, self.edited, self.name, self.step, now)


@st.composite
def rebasings(draw: st.DrawFn) -> Rebasing | None:
    world = draw(worlds())
    try:
        phases = world.resolved()
    except ConfigError:
        return None
    phase = draw(st.sampled_from(phases))
    step = draw(st.integers(1, min(phase.steps, 12)))
    there = world.documents[-1]
    gone = draw(st.sets(st.sampled_from(list(chain.from_iterable(there.values()))), max_size=8))
    changes = tuple(one for one in world.mixture.changes if before(one, phase.name, step))
    if draw(st.booleans()):
        earlier = [phase.after] if phase.after else []
        mix = [_restyled(draw, entry) for entry in draw(mixes(earlier, relative=True))]
        changes += (Change(phase=phase.name, step=step, mix=tuple(mix), budget=5000),)
    return Rebasing(
        world=world,
        phases=phases,
        edited=replace(world.mixture, changes=changes),
        name=phase.name,
        step=step,
        documents={leaf: [d for d in had if d not in gone] for leaf, had in there.items()},
    )


def before(change: Change, phase: str, step: int) -> bool:
    return change.phase == phase and (change.step or 0) < step


def _restyled(draw: st.DrawFn, entry: Entry) -> Entry:
    layout = draw(st.sampled_from([None, None, *Layout]))
    return replace(entry, layout=layout, cursor=draw(st.sampled_from([*Cursor, Cursor.CONTINUE])))


Epoch = tuple[Body, int, int]


def begun(seen: list[Seen]) -> dict[str, tuple[Epoch, set[int]]]:
    """Of each leaf the epoch that it began last, and the samples of it; RESTART not allowed for."""
    epochs: dict[tuple[str, Epoch], set[int]] = defaultdict(set)
    for one in seen:
        epochs[one.leaf, (one.body, one.sequence_length, one.epoch)].add(one.sample)
    last: dict[str, tuple[Epoch, set[int]]] = {}
    for (leaf, epoch), samples in epochs.items():
        if leaf not in last or last[leaf][0][2] < epoch[2]:
            last[leaf] = (epoch, samples)
    return last


@settings(max_examples=250, deadline=None)
@given(rebasings())
def test_an_account_is_what_the_orders_come_to(drawn: Rebasing | None) -> None:
    if drawn is None:
        return
    try:
        made = drawn.made()
    except ConfigError:
        return
    library = drawn.world.library
    phases = {phase.name: phase for phase in made.phases}
    old = {phase.name: phase for phase in drawn.phases}
    after, was = phases[drawn.name], old[drawn.name]
    cut = next(one for one in after.segments if one.first_step == drawn.step)
    walked = [replace(one, segment=0) for one in walk(library, after)]
    assert (
        walked[: cut.start] == [replace(one, segment=0) for one in walk(library, was)][: cut.start]
    )
    earlier = [one for part in chain_to(drawn.phases, was.after) for one in walk(library, part)]
    last = begun([*earlier, *walked[: cut.start]])
    for account in made.account:
        assert account.lost == 0
        supply = next((one for one in cut.supplies if one.leaf == account.leaf), None)
        if account.leaf in last:
            check(drawn, account, *last[account.leaf], walked[cut.start :], supply)
    for phase in drawn.phases:
        if drawn.name not in [one.name for one in chain_to(drawn.phases, phase.name)]:
            assert phases[phase.name] == phase


def check(
    drawn: Rebasing,
    account: LeafAccount,
    epoch: Epoch,
    trained: set[int],
    later: list[Seen],
    supply: Supply | None,
) -> None:
    body, length, number = epoch
    library = drawn.world.library
    there = set(drawn.documents[account.leaf])
    lost = set(library.tables[body.table]) - there
    gone = samples_with(library, body, lost, length)
    whole = set(range(body.samples))
    if not account.consumed:  # between two epochs; what had been left out of this one is gone now
        assert whole - trained <= gone
        return
    assert account.consumed == len(trained)
    assert account.consumed + account.going_on + account.skipped == body.samples
    if supply is None:
        assert (account.going_on, account.repeated) == (0, 0)
        return
    coming = whole - trained - gone
    assert account.going_on == len(coming)
    assert account.skipped == len((whole - trained) & gone)
    rest = {
        one.sample
        for one in later
        if (one.leaf, one.body, one.sequence_length, one.epoch)
        == (account.leaf, body, length, number)
    }
    if supply.head is None and not supply.cursor:  # anew, or nothing of the epoch is left
        assert account.repeated == len(trained - gone) or not coming
        return
    assert account.repeated == 0
    assert rest == coming if supply.quota >= len(coming) else rest <= coming


@settings(max_examples=150, deadline=None)
@given(rebasings())
def test_epochs_follow_one_another_over_a_rebase(drawn: Rebasing | None) -> None:
    if drawn is None or Cursor.RESTART in {
        entry.cursor for change in drawn.edited.changes for entry in change.mix
    }:
        return
    try:
        made = drawn.made()
    except ConfigError:
        return
    phases = {phase.name: phase for phase in made.phases}
    cut = next(s for s in phases[drawn.name].segments if s.first_step == drawn.step)
    number = phases[drawn.name].segments.index(cut)

    def there(one: Seen) -> list[int]:
        chained = [part.name for part in chain_to(made.phases, one.phase)]
        if drawn.name in chained[:-1] or (one.phase == drawn.name and one.segment >= number):
            return drawn.documents[one.leaf]
        return list(drawn.world.there(one))

    for phase in made.phases:
        parts = chain_to(made.phases, phase.name)
        seen = (one for part in parts for one in walk(drawn.world.library, part))
        assert_epochs(drawn.world.library, seen, there)
