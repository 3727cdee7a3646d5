"""Leaves of a handful of documents, and resolved phases walked sample by sample.

A document has 10 tokens and the one that closes it. What a version of the leaves has lost is known
from its tables, so heads with holes come about as they do over a store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from manifests.fingerprint import sha256
from manifests.order import PhaseOrder
from manifests.permutation import mix, unpermute
from manifests.resolve.phases import Version
from manifests.resolve.types import Body, Head, LeafSupply, Phase, source_of
from manifests.segment_order import leaf_key
from manifests.spec.types import Layout
from manifests.survivors import Survivors
from manifests.windows import Windows
from tests.manifests.resolved import SEED

Ints = npt.NDArray[np.int64]
TOKENS = 10


@dataclass
class Library:
    """All tables and holes of one test, by digest; documents by number."""

    tables: dict[str, tuple[int, ...]] = field(default_factory=dict)
    holes: dict[str, Ints] = field(default_factory=dict)

    def version(self, documents: Mapping[str, Sequence[int]], first: bool = False) -> Version:
        leaves = Leaves(self, documents)
        return Version(supplies=leaves, holes=None if first else Gone(self, leaves))


@dataclass
class Leaves:
    library: Library
    documents: Mapping[str, Sequence[int]]

    def leaves(self, source: str) -> list[str]:
        return sorted(leaf for leaf in self.documents if source_of(leaf) == source)

    def of(self, leaf: str, layout: Layout, sequence_length: int) -> LeafSupply:
        documents = tuple(self.documents[leaf])
        table = sha256(f"{leaf} {documents}".encode())
        self.library.tables[table] = documents
        samples = windows(layout, len(documents), sequence_length).samples
        stream = layout is Layout.STREAM
        body = Body(
            table=table,
            layout=layout,
            samples=samples,
            tokens=samples * sequence_length if stream else len(documents) * TOKENS,
            windows="" if stream else sha256(f"{table} {sequence_length}".encode()),
        )
        return LeafSupply(leaf=leaf, body=body, documents=len(documents))


@dataclass
class Gone:
    library: Library
    now: Leaves

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int
    ) -> tuple[str, int]:
        there = set(self.now.documents.get(leaf, ()))
        gone = {d for d in self.library.tables[body.table] if d not in there}
        samples = samples_with(self.library, body, gone, sequence_length)
        key = mix(leaf_key(SEED, leaf), np.array([epoch]))
        ranks = np.sort(unpermute(np.array(sorted(samples), dtype=np.int64), body.samples, key))
        holes = ranks[ranks >= start]
        digest = sha256(holes.tobytes()) if len(holes) else ""
        self.library.holes[digest] = holes
        return digest, len(holes)

    def rank(self, head: Head, number: int) -> int:
        holes = self.library.holes[head.holes] if head.holes else np.zeros(0, dtype=np.int64)
        return int(Survivors(head, holes).ranks(np.array([number]))[0])


def windows(layout: Layout, documents: int, sequence_length: int) -> Windows:
    size = TOKENS + 1 if layout is Layout.STREAM else -(-TOKENS // sequence_length)
    return Windows(layout, np.full(documents, size, dtype=np.int64), sequence_length)


def samples_with(
    library: Library, body: Body, documents: set[int], sequence_length: int
) -> set[int]:
    """The samples of a body that hold a token of one of these documents."""
    table = library.tables[body.table]
    shards = windows(body.layout, len(table), sequence_length)
    at = [number for number, document in enumerate(table) if document in documents]
    return {int(sample) for number in at for sample in shards.samples_of_shard(number)}


@dataclass(frozen=True)
class Seen:
    """What stands at one position."""

    phase: str
    segment: int
    leaf: str
    body: Body
    sequence_length: int
    epoch: int
    sample: int


def walk(library: Library, phase: Phase) -> list[Seen]:
    """Everything in a phase, in order."""
    places = PhaseOrder(phase, SEED, library.holes.__getitem__).places(np.arange(phase.samples))
    columns = (places.segment, places.supply, places.in_head, places.epoch, places.sample)
    found = []
    for segment, number, in_head, epoch, sample in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        supply = phase.segments[segment].supplies[number]
        body = supply.head.body if in_head and supply.head else supply.body
        seen = Seen(phase.name, segment, supply.leaf, body, phase.sequence_length, epoch, sample)
        found.append(seen)
    return found
