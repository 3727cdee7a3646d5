"""A mixture resolved: whole numbers only, from which the order of all samples follows.

A leaf is a source, or one stratum of it (`source` or `source/stratum`). A supply is a leaf in a
segment. Positions count the samples of a phase from 0; a step is a global batch of them.
"""

from dataclasses import dataclass, field

from manifests.spec.types import Layout

ORDER = "interleave@1 feistel-splitmix64-6@1"
"""What computes the order; part of the identity of a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A leaf's shards as an endless row of epochs."""

    table: str
    """Digest of the leaf's table of shards."""
    layout: Layout
    samples: int
    """Of an epoch (m)."""
    tokens: int
    """Useful tokens of an epoch (u); at most samples * sequence_length."""
    windows: str = ""
    """Digest of the samples of each shard, for layouts where they do not follow from tokens."""
    packing: str = ""
    """What packed the documents, under Layout.PACKED; part of the identity of a manifest."""
    splits: int = 0
    """Documents longer than a window; 0 under Layout.STREAM, which cuts wherever it comes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is left of an epoch that was begun on other shards than the body's."""

    body: Body
    epoch: int
    start: int
    """Samples of the epoch, in its order, that are over."""
    holes: str = ""
    """Digest of the ranks (places in the epoch's order), from `start` on, that are left out."""
    taken: int = 0
    """Samples from `start` on, holes not counted, that are over too."""
    count: int
    """Samples that are left, holes not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """A leaf in a segment: `quota` samples, first the head's, then the body's from `cursor` on."""

    leaf: str
    quota: int
    planned: int = 0
    """The quota before a change cut the segment short; 0: it was not. The order follows the plan,
    so what came before the change stays as it was."""
    body: Body
    cursor: int
    """Samples that earlier segments and phases took from this body: epoch cursor // samples."""
    first_epoch: int = 0
    """Number of the epoch at cursor 0; it keys the order, so that no two epochs have the same."""
    head: Head | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Positions start to stop (not included) of a phase, under one mix."""

    start: int
    stop: int
    first_step: int
    """The step that begins at `start`."""
    global_batch: int
    """Samples of a step; start and stop lie on steps."""
    supplies: tuple[Supply, ...]
    """By leaf name. Quotas sum to stop - start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase, resolved."""

    name: str
    after: str
    sequence_length: int
    segments: tuple[Segment, ...]
    train: dict[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """All positions."""
        return self.segments[-1].stop

    @property
    def steps(self) -> int:
        """Global batches."""
        last = self.segments[-1]
        return last.first_step + (last.stop - last.start) // last.global_batch


def source_of(leaf: str) -> str:
    """The source that a leaf is, or is a stratum of."""
    return leaf.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafSupply:
    """What resolution has to know of a leaf under a layout and a window."""

    leaf: str
    body: Body
    documents: int
