"""Small mixtures for resolutions, and what their orders come to, sample by sample."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.order import PhaseOrder
from manifests.permutation import mix, unpermute
from manifests.resolve.phases import Version
from manifests.resolve.types import Body, Head, Phase
from manifests.segment_order import leaf_key
from manifests.spec.types import Change, Entry, Mixture, PhaseSpec, SourceSpec, TokenizerName
from manifests.survivors import Survivors
from tests.manifests.supplied import Numbers

SEED = 7
Ints = npt.NDArray[np.int64]
Row = tuple[str, str, int, int]


class Gone:
    """Holes of a selection in which a part of the samples of older tables is gone.

    What is gone at a small part is gone at a larger one; `arrays` are shared by all versions.
    """

    def __init__(self, part: float = 0.0, arrays: dict[str, Ints] | None = None) -> None:
        self._part = part
        self.arrays = {} if arrays is None else arrays

    def samples(self, leaf: str, size: int) -> Ints:
        """Those of a table of this size."""
        rng = np.random.default_rng([*leaf.encode(), size])
        return np.flatnonzero(rng.random(size) < self._part).astype(np.int64)

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int
    ) -> tuple[str, int]:
        keys = mix(leaf_key(SEED, leaf), np.array([epoch]))
        ranks = np.sort(unpermute(self.samples(leaf, body.samples), body.samples, keys))
        holes = ranks[ranks >= start]
        if not len(holes):
            return "", 0
        name = f"{leaf} {body.table} {epoch} {start} {self._part}"
        self.arrays[name] = holes
        return name, len(holes)

    def rank(self, head: Head, number: int) -> int:
        holes = self.arrays[head.holes] if head.holes else np.zeros(0, dtype=np.int64)
        return int(Survivors(head, holes).ranks(np.array([number]))[0])


def mixture(
    sources: Iterable[SourceSpec], phases: Iterable[PhaseSpec], *changes: Change
) -> Mixture:
    return Mixture(
        name="m",
        seed=SEED,
        tokenizer=TokenizerName(name="utf8-bytes@1", end_of_document=256),
        sources=tuple(sources),
        phases=tuple(phases),
        changes=changes,
    )


def sources(names: Iterable[str]) -> list[SourceSpec]:
    return [source(name) for name in names]


def source(name: str, cap: Fraction | int | None = None, **more: Any) -> SourceSpec:
    most = None if cap is None else Fraction(cap)
    return SourceSpec(name=name, steps=("*",), max_epochs=most, **more)


def share(name: str, part: str) -> Entry:
    return Entry(name=name, share=Fraction(part))


def weight(name: str, part: Fraction | int = 1, **more: Any) -> Entry:
    return Entry(name=name, weight=Fraction(part), **more)


def epochs(name: str, many: Fraction | int) -> Entry:
    return Entry(name=name, epochs=Fraction(many))


def spec(name: str, *entries: Entry, **more: Any) -> PhaseSpec:
    """100 steps of 4 samples of 10 tokens, if nothing else is said."""
    facts: dict[str, Any] = {"tokens": 4000, "sequence_length": 10, "global_batch": 4}
    return PhaseSpec(name=name, mix=entries, **(facts | more))


def versions(*numbers: Numbers, parts: Sequence[float] = ()) -> list[Version]:
    """What there is at first and from each change on, and the part of older samples gone then."""
    arrays: dict[str, Ints] = {}
    gone = [Gone(part, arrays) for part in parts] or [Gone() for _ in numbers[1:]]
    later = zip(numbers[1:], gone, strict=True)
    return [Version(supplies=numbers[0]), *(Version(supplies=n, holes=h) for n, h in later)]


def quotas(phase: Phase) -> dict[str, int]:
    """Samples by leaf."""
    found: dict[str, int] = {}
    for supply in (supply for segment in phase.segments for supply in segment.supplies):
        found[supply.leaf] = found.get(supply.leaf, 0) + supply.quota
    return found


def assert_whole(phase: Phase) -> None:
    """Segments follow each other, of whole steps, and their quotas fill them."""
    position = step = 0
    for segment in phase.segments:
        assert (segment.start, segment.first_step) == (position, step)
        leaves = [supply.leaf for supply in segment.supplies]
        assert leaves == sorted(set(leaves))
        assert sum(supply.quota for supply in segment.supplies) == segment.stop - position > 0
        steps, rest = divmod(segment.stop - position, segment.global_batch)
        assert not rest
        position, step = segment.stop, step + steps


def rows(phase: Phase, holes: Gone | None = None) -> Iterator[Row]:
    """Leaf, table, epoch and sample of every position."""
    order = PhaseOrder(phase, SEED, (holes or Gone()).arrays.__getitem__)
    places = order.places(np.arange(phase.samples))
    columns = (places.segment, places.supply, places.in_head, places.epoch, places.sample)
    for number, at, in_head, epoch, sample in zip(*(c.tolist() for c in columns), strict=True):
        supply = phase.segments[number].supplies[at]
        body = supply.head.body if in_head and supply.head else supply.body
        yield supply.leaf, body.table, epoch, sample


def assert_epochs_whole(phases: Sequence[Phase], holes: Gone | None = None) -> None:
    """Over a chain no sample comes twice in an epoch, and all but a leaf's last epoch are whole.

    Only what `holes` says is gone may be missing.
    """
    got: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    sizes: dict[tuple[str, str], int] = {}
    for phase in phases:
        for leaf, table, epoch, sample in rows(phase, holes):
            assert sample not in got[leaf, epoch, table]
            got[leaf, epoch, table].add(sample)
        for supply in (supply for segment in phase.segments for supply in segment.supplies):
            for body in [supply.body, *([supply.head.body] if supply.head else [])]:
                sizes[supply.leaf, body.table] = body.samples
    assert len({(leaf, epoch) for leaf, epoch, _ in got}) == len(got)
    for leaf in {leaf for leaf, _, _ in got}:
        *over, _ = sorted(key for key in got if key[0] == leaf)
        for key in over:
            size = sizes[leaf, key[2]]
            gone = set((holes or Gone()).samples(leaf, size).tolist())
            assert set(range(size)) - got[key] <= gone
