"""At which positions of a phase some records are trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.locate.contents import Contents, body_of
from manifests.locate.find import Hit
from manifests.order import PhaseOrder, rank_of
from manifests.resolve.types import Body, Phase
from manifests.select.picking import over_files
from manifests.windows import Ints

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrences:
    """Every time that a sample with a token of a hit is trained on; columns of one length."""

    hit: Ints
    """Number of the hit."""
    position: Ints
    step: Ints
    index: Ints
    """In the global batch."""
    segment: Ints
    supply: Ints
    """Number in the segment."""
    epoch: Ints
    sample: Ints
    drawn: Bools
    """Of each hit, whether the phase draws from its table at all."""
    in_window: Bools
    """Of each hit, whether a sample of what the phase draws from holds it: not where it lies in
    the last tokens of a leaf, which fill no window."""


def occurrences(contents: Contents, phase: Phase, hits: Sequence[Hit]) -> Occurrences:
    """All of them in a phase, by position.

    Raises:
        DataError: A shard is not there, or broken.
    """
    order = contents.manifest.order(phase.name)
    found = [np.empty((2, 0), dtype=np.int64)]
    tables: set[str] = set()
    in_window = np.zeros(len(hits), dtype=np.bool_)
    kept: dict[Body, tuple[Ints, Ints]] = {}
    for segment, supply, in_head, body in bodies(phase):
        if body not in kept:
            kept[body] = _samples(contents, body, phase.sequence_length, hits)
        owner, samples = kept[body]
        in_window[owner] = True
        tables.add(body.table)
        which, positions = order.occurrences(segment, supply, in_head, samples)
        found.append(np.stack([owner[which], positions]))
    hit, position = np.concatenate(found, axis=1)
    by_position = np.lexsort((hit, position))
    drawn = np.array([hit.table in tables for hit in hits], dtype=np.bool_)
    return _described(order, hit[by_position], position[by_position], drawn, in_window)


def bodies(phase: Phase) -> Iterator[tuple[int, int, bool, Body]]:
    """What a phase draws from: segment, supply, whether it is the supply's head, and the body."""
    for number, segment in enumerate(phase.segments):
        for at, supply in enumerate(segment.supplies):
            for in_head in (True, False) if supply.head else (False,):
                yield number, at, in_head, body_of(supply, in_head)


def ranks_of(
    phase: Phase, found: Occurrences, *, data_parallel: int, micro_batch: int
) -> tuple[Ints, Ints]:
    """Rank and micro step of each occurrence.

    Raises:
        ConfigError: A global batch does not divide into micro batches of all ranks.
    """
    rank, micro_step = np.empty_like(found.index), np.empty_like(found.index)
    for number, segment in enumerate(phase.segments):
        at = np.flatnonzero(found.segment == number)
        rank[at], micro_step[at] = rank_of(
            found.index[at],
            global_batch=segment.global_batch,
            data_parallel=data_parallel,
            micro_batch=micro_batch,
        )
    return rank, micro_step


def _samples(
    contents: Contents, body: Body, sequence_length: int, hits: Sequence[Hit]
) -> tuple[Ints, Ints]:
    """The samples of a body that hold a hit, each with the number of the hit."""
    by_shard: dict[int, list[int]] = {}
    for number, hit in enumerate(hits):
        if hit.table == body.table:
            by_shard.setdefault(hit.shard, []).append(number)
    if not by_shard:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    windows, shards = contents.windows(body, sequence_length), list(by_shard)

    def read(at: int) -> list[Ints]:
        shard = shards[at]
        documents = contents.documents(body.table, shard)
        return [
            windows.samples_of(shard, hits[number].document, lambda _: documents)
            for number in by_shard[shard]
        ]

    samples = [found for some in over_files(read, range(len(shards))) for found in some]
    here = [number for shard in shards for number in by_shard[shard]]
    owner = np.repeat(np.array(here, dtype=np.int64), [len(some) for some in samples])
    return owner, np.concatenate(samples)


def _described(
    order: PhaseOrder, hit: Ints, position: Ints, drawn: Bools, in_window: Bools
) -> Occurrences:
    places = order.places(position)
    step, index = order.steps_of(position)
    return Occurrences(
        hit=hit,
        position=position,
        step=step,
        index=index,
        segment=places.segment,
        supply=places.supply,
        epoch=places.epoch,
        sample=places.sample,
        drawn=drawn,
        in_window=in_window,
    )
