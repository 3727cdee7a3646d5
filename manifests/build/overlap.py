"""Records that a phase would count twice: two of its sources hold the same ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, product

import pyarrow.compute as pc

from manifests.build.supplies import Selected
from manifests.errors import ConfigError
from manifests.select.overlap import overlaps
from manifests.spec.types import Mixture, PhaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two sources that share records."""

    sources: tuple[str, str]
    records: int


def shared(selected: Selected, names: list[str]) -> Iterator[Overlap]:
    """Pairs of these sources that share records."""
    leaves = {name: selected.leaves(name) for name in names}
    steps = {
        leaf: set(pc.unique(selected.rows(leaf)["step"]).to_pylist())
        for leaf in chain.from_iterable(leaves.values())
    }
    for one, other in combinations(names, 2):
        records = sum(
            overlaps(selected.rows(left), selected.rows(right))
            for left, right in product(leaves[one], leaves[other])
            if not steps[left].isdisjoint(steps[right])  # a shard is of one step
        )
        if records:
            yield Overlap(sources=(one, other), records=records)


def refuse_overlap(mixture: Mixture, selected: Selected) -> None:
    """Raise ConfigError where two entries of a phase hold the same record.

    What a recall brings back may be there beside it: that it is seen again is what it is for.
    """
    for phase in mixture.phases:
        if phase.allow_overlap:
            continue
        for found in shared(selected, _named(phase, selected)):
            one, other = found.sources
            raise ConfigError(
                f"phase {phase.name}: the sources {one} and {other} share {found.records} records;"
                " make their selections exclude each other, or set allow_overlap = true to count"
                " them in both"
            )


def _named(phase: PhaseSpec, selected: Selected) -> list[str]:
    return [entry.name for entry in phase.mix if not entry.recall and selected.leaves(entry.name)]
