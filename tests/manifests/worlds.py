"""Mixtures over a few documents, drawn at random: phases in a tree, caps, changes, takedowns."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.resolve.phases import Version, resolve
from manifests.resolve.types import Phase
from manifests.spec.types import Change, Entry, Layout, Mixture, OnCap, PhaseSpec, Rounding, Unit
from tests.manifests.resolved import mixture, source
from tests.manifests.walked import Library, Seen, samples_with

NAMES = ("a", "b", "c")


@dataclass
class World:
    library: Library
    mixture: Mixture
    documents: list[dict[str, list[int]]]
    """For each version: what it has."""

    @property
    def versions(self) -> list[Version]:
        return [self.library.version(d, first=not n) for n, d in enumerate(self.documents)]

    def resolved(self, mixture: Mixture | None = None) -> tuple[Phase, ...]:
        return resolve(mixture or self.mixture, self.versions)

    def version_of(self, phase: str, segment: int) -> int:
        """Number of the version that a segment draws on."""
        spec = self.mixture.phase(phase)
        changes = [n for n, one in enumerate(self.mixture.changes, 1) if one.phase == phase]
        before = self.version_of(spec.after, 99) if spec.after else 0
        return max([before, *changes[:segment]])

    def there(self, one: Seen) -> Sequence[int]:
        """The documents that a leaf had where a sample was drawn."""
        return self.documents[self.version_of(one.phase, one.segment)].get(one.leaf, [])


@st.composite
def mixes(draw: st.DrawFn, earlier: list[str], relative: bool = False) -> tuple[Entry, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    found = []
    for number, name in enumerate(names):
        kinds = ["weight"] if relative and not number else ["weight", "weight", "tokens", "epochs"]
        kind = draw(st.sampled_from(kinds))
        amount: dict[str, object] = {"weight": Fraction(draw(st.integers(1, 5)), 3)}
        if kind == "tokens":
            amount = {"tokens": draw(st.integers(1, 200))}
        elif kind == "epochs":
            amount = {"epochs": Fraction(draw(st.integers(1, 6)), 2)}
        found.append(Entry(name=name, **amount))  # type: ignore[arg-type]
    again = draw(st.booleans())
    if earlier and again:
        part = Fraction(draw(st.integers(1, 5)))
        found.append(Entry(name="r", weight=part, recall=draw(st.sampled_from(earlier))))
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    documents = {
        name: list(range(100 * i, 100 * i + draw(st.integers(8, 30))))
        for i, name in enumerate(("a", "b", "c/x", "c/y"))
    }
    phases: list[PhaseSpec] = []
    for number in range(draw(st.integers(1, 3))):
        after = draw(st.sampled_from([one.name for one in phases])) if phases else ""
        mix = draw(mixes([after] if after else []))
        asked = all(one.weight is None for one in mix)
        phases.append(
            PhaseSpec(
                name=f"p{number}",
                after=after,
                tokens=None if asked else draw(st.integers(600, 3000)),
                sequence_length=draw(st.sampled_from([16, 16, 6])),
                global_batch=draw(st.integers(1, 6)),
                layout=draw(st.sampled_from(Layout)),
                unit=draw(st.sampled_from(Unit)),
                round=draw(st.sampled_from(Rounding)),
                on_cap=draw(st.sampled_from(OnCap)),
                allow_zero=draw(st.booleans()),
                mix=mix,
            )
        )
    all_of_them = list(chain.from_iterable(documents.values()))
    versions = [documents]
    changes: list[Change] = []
    for _ in range(draw(st.integers(0, 3))):
        of = draw(st.sampled_from(phases))
        same = [one for one in changes if one.phase == of.name]
        step = (same[-1].step or 0) if same else 0
        gone = set(draw(st.lists(st.sampled_from(all_of_them), max_size=8)))
        versions.append({k: [d for d in v if d not in gone] for k, v in versions[-1].items()})
        changes.append(
            Change(
                phase=of.name,
                step=step + draw(st.integers(1, 9)),
                mix=draw(st.just(()) | mixes([of.after] if of.after else [], relative=True)),
                budget=draw(st.none() | st.integers(1000, 4000)),
                global_batch=draw(st.none() | st.integers(1, 6)),
            )
        )
    most = st.none() | st.builds(Fraction, st.integers(2, 30), st.just(3))
    sources = [source(name, draw(most)) for name in NAMES]
    return World(Library(), mixture(sources, phases, *changes), versions)


def attempt(world: World, mixture: Mixture | None = None) -> tuple[Phase, ...]:
    """Resolved, or nothing where it does not fit."""
    try:
        return world.resolved(mixture)
    except ConfigError:
        return ()


def assert_epochs(
    library: Library, seen: Iterable[Seen], there: Callable[[Seen], Sequence[int]]
) -> None:
    """Nothing twice in an epoch; an epoch is over before the next; nothing that is gone comes.

    `there` says what a leaf had under the version that a sample was drawn under.
    """

    def gone(of: Seen, then: Seen) -> set[int]:
        lost = set(library.tables[of.body.table]) - set(there(then))
        return samples_with(library, of.body, lost, of.sequence_length)

    by_leaf: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        by_leaf[one.leaf].append(one)
        assert one.sample not in gone(one, one)
    for mine in by_leaf.values():
        epochs: dict[int, list[Seen]] = defaultdict(list)
        for one in mine:
            epochs[one.epoch].append(one)
        assert sorted(epochs) == list(range(len(epochs)))
        for number in range(len(epochs)):
            visited = [one.sample for one in epochs[number]]
            assert len(set(visited)) == len(visited)
            assert len({one.body for one in epochs[number]}) == 1
            if number + 1 == len(epochs):
                continue
            first, following = epochs[number][0], epochs[number + 1][0]
            windows = (first.body.layout, first.sequence_length)
            if windows != (following.body.layout, following.sequence_length):
                continue
            assert set(range(first.body.samples)) - gone(first, following) <= set(visited)
