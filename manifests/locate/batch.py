"""What a global batch holds: of each of its samples the leaf, the epoch and the documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from manifests.errors import ConfigError
from manifests.locate.contents import Contents, body_of
from manifests.locate.pieces import Piece, pieces_of
from manifests.order import rank_of
from manifests.resolve.types import Body, Phase, Segment, source_of
from manifests.select.picking import Progress
from manifests.spec.types import Layout
from manifests.windows import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sample in its place."""

    index: int
    """In the global batch."""
    position: int
    leaf: str
    epoch: int
    sample: int
    tokens: int
    """Inputs that are no padding."""
    documents: tuple[Piece, ...]
    """In order. With the last label they are one token longer than `tokens`; under PACKED each is
    one longer, for every document is attended alone and has its own."""
    rank: int | None = None
    micro_step: int | None = None
    """None where no parallel layout was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """What a source gives to the batch."""

    source: str
    samples: int
    documents: int
    """Different ones."""
    tokens: int
    share: Fraction
    """Of the tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A global batch, or what one rank has of it."""

    phase: str
    step: int
    steps: int
    """Of the phase."""
    start: int
    """Position of the first sample of the global batch."""
    global_batch: int
    sequence_length: int
    sources: tuple[SourcePart, ...]
    """The largest first."""
    samples: tuple[Sample, ...]
    """By index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """A parallel layout."""

    data_parallel: int
    micro_batch: int
    rank: int | None = None
    """Only this one's samples; None for all."""


def batch(
    contents: Contents,
    phase: Phase,
    step: int,
    ranks: Ranks | None = None,
    characters: int = 0,
    progress: Progress | None = None,
) -> Batch:
    """What is trained on in a step; of each document so many characters of its text.

    Raises:
        ConfigError: No such step or rank, or the batch does not divide over the ranks.
        DataError: A shard is not there, or broken.
    """
    segment = _segment(phase, step)
    start = segment.start + (step - segment.first_step) * segment.global_batch
    samples = tuple(_samples(contents, phase, segment, start, ranks, characters, progress))
    return Batch(
        phase=phase.name,
        step=step,
        steps=phase.steps,
        start=start,
        global_batch=segment.global_batch,
        sequence_length=phase.sequence_length,
        sources=_sources(samples),
        samples=samples,
    )


def _samples(
    contents: Contents,
    phase: Phase,
    segment: Segment,
    start: int,
    ranks: Ranks | None,
    characters: int,
    progress: Progress | None,
) -> Iterator[Sample]:
    """Those of the step that begins at this position."""
    index = np.arange(segment.global_batch, dtype=np.int64)
    rank, micro_step = _ranks(index, ranks)
    if ranks and ranks.rank is not None:
        index = index[rank == ranks.rank]
    places = contents.manifest.order(phase.name).places(start + index)
    chosen = [segment.supplies[number] for number in places.supply.tolist()]
    bodies = [body_of(*one) for one in zip(chosen, places.in_head.tolist(), strict=True)]
    held = pieces_of(contents, phase.sequence_length, bodies, places.sample, characters, progress)
    columns = (index.tolist(), chosen, bodies, places.epoch.tolist(), places.sample.tolist(), held)
    for at, supply, body, epoch, sample, pieces in zip(*columns, strict=True):
        yield Sample(
            index=at,
            position=start + at,
            leaf=supply.leaf,
            epoch=epoch,
            sample=sample,
            tokens=_inputs(body, pieces),
            documents=pieces,
            rank=int(rank[at]) if ranks else None,
            micro_step=int(micro_step[at]) if ranks else None,
        )


def _inputs(body: Body, pieces: Sequence[Piece]) -> int:
    """Tokens that are inputs: all but the last label, of each document where they are apart."""
    labels = len(pieces) if body.layout is Layout.PACKED else 1
    return sum(piece.length for piece in pieces) - labels


def _segment(phase: Phase, step: int) -> Segment:
    if not 0 <= step < phase.steps:
        raise ConfigError(f"step {step}: phase {phase.name} has steps 0 to {phase.steps - 1:,}")
    return next(one for one in reversed(phase.segments) if one.first_step <= step)


def _ranks(index: Ints, ranks: Ranks | None) -> tuple[Ints, Ints]:
    """Rank and micro step of every index of a global batch; zeros without a layout."""
    if ranks is None:
        return np.zeros_like(index), np.zeros_like(index)
    if ranks.rank is not None and not 0 <= ranks.rank < ranks.data_parallel:
        raise ConfigError(f"rank {ranks.rank}: there are ranks 0 to {ranks.data_parallel - 1}")
    return rank_of(
        index,
        global_batch=len(index),
        data_parallel=ranks.data_parallel,
        micro_batch=ranks.micro_batch,
    )


def _sources(samples: Iterable[Sample]) -> tuple[SourcePart, ...]:
    by_source: dict[str, list[Sample]] = {}
    for sample in samples:
        by_source.setdefault(source_of(sample.leaf), []).append(sample)
    return tuple(sorted(_parts(by_source), key=lambda part: (-part.tokens, part.source)))


def _parts(by_source: Mapping[str, Sequence[Sample]]) -> Iterator[SourcePart]:
    total = sum(sample.tokens for held in by_source.values() for sample in held)
    for source, held in by_source.items():
        tokens = sum(sample.tokens for sample in held)
        yield SourcePart(
            source=source,
            samples=len(held),
            documents=len({piece.id for sample in held for piece in sample.documents}),
            tokens=tokens,
            share=Fraction(tokens, total) if total else Fraction(0),
        )
