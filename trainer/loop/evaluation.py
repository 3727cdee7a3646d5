"""The loss of held-out sets by source.

Samples of one source go into a micro batch together, so that a source's loss is a sum and a count
as everywhere. What is looked at are the first samples of the set's own order, in which its sources
have their shares.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.segment_order import Ints
from trainer.data.batch import Batch
from trainer.data.samples import PhaseData
from trainer.loop.heldout import HeldOut
from trainer.loop.machine import Machine
from trainer.loop.step import forward
from trainer.losses.choose import objective
from trainer.losses.objective import Objective


def leaves_of(held: HeldOut, samples: int) -> dict[str, Ints]:
    """The first positions of a set, by leaf."""
    positions = np.arange(min(samples, held.phase.samples), dtype=np.int64)
    places = held.manifest.order(held.phase.name).places(positions)
    names = [
        held.phase.segments[segment].supplies[supply].leaf
        for segment, supply in zip(places.segment.tolist(), places.supply.tolist(), strict=True)
    ]
    return {
        leaf: positions[np.array([name == leaf for name in names])] for leaf in sorted(set(names))
    }


def evaluate(machine: Machine, held: HeldOut, data: PhaseData, samples: int) -> dict[str, Any]:
    """Mean losses of a set, and of each of its leaves; all ranks call this together."""
    there = replace(machine, sequence_length=held.phase.sequence_length)
    learned = objective(held.phase.train)
    found = {
        leaf: _sums(there, learned, data, positions)
        for leaf, positions in leaves_of(held, samples).items()
    }
    total, count = (sum(sums[i] for sums in found.values()) for i in (0, 1))
    return {
        "loss": total / max(count, 1.0),
        "sources": {
            leaf: {"loss": part / max(of, 1.0), "tokens": int(of)}
            for leaf, (part, of) in found.items()
        },
    }


def _sums(
    machine: Machine, learned: Objective, data: PhaseData, positions: Ints
) -> tuple[float, float]:
    """Sum and count of the loss at these positions, over all ranks.

    Every rank has as many micro batches as any other, for pipelines exchange them one for one; what
    is missing at the end is filled with the first sample, which then counts for nothing.
    """
    rank, count = machine.place.data_rank, machine.place.parallel.data
    rows = -(-len(positions) // count)
    mine = positions[rank::count]
    padding = np.zeros(rows - len(mine), dtype=bool)
    asked = np.concatenate([mine, np.full(len(padding), positions[0])])
    counts = np.concatenate([np.ones(len(mine), dtype=bool), padding])
    size = machine.micro_batch
    parts = [slice(at, at + size) for at in range(0, rows - rows % size, size)]
    parts += [slice(at, at + 1) for at in range(rows - rows % size, rows)]
    total = np.zeros(2)
    for part in parts:
        batch = _masked(data.batch(asked[part]), counts[part])
        sums = forward(machine, learned, iter([batch]), 1, samples=len(asked[part]))
        total += sums["loss"]
    return float(total[0]), float(total[1])


def _masked(batch: Batch, counts: npt.NDArray[np.bool_]) -> Batch:
    return batch if counts.all() else replace(batch, loss_mask=batch.loss_mask * counts[:, None])
