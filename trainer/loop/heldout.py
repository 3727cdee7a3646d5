"""Held-out sets: phases of a manifest that the run does not train on, and their loss by source.

Samples of one source go into a micro batch together, so that a source's loss is a sum and a count
as everywhere. What is looked at are the first samples of the set's own order, in which its sources
have their shares.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.resolve.types import Phase
from manifests.segment_order import Ints
from manifests.store import Store
from trainer.data.samples import PhaseData
from trainer.loop.step import Machine, Sums, forward
from trainer.losses.batch import Batch
from trainer.losses.choose import needs_reference, objective


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A set, as it was asked for."""

    name: str
    """REF#PHASE."""
    manifest: Manifest
    phase: Phase


def held_out(store: Store, name: str) -> HeldOut:
    """The set that `REF#PHASE` names.

    Raises:
        ConfigError: There is none, or it is of pairs.
    """
    ref, mark, phase_name = name.partition("#")
    if not (mark and phase_name):
        raise ConfigError(f"--eval {name}: give REF#PHASE, a manifest and its phase to look at")
    manifest = Manifest(store, Refs(store).resolve(ref).digest)
    phases = {phase.name: phase for phase in manifest.root.phases}
    if phase_name not in phases:
        raise ConfigError(f"--eval {name}: {ref} has the phases {', '.join(phases)}")
    if needs_reference(phases[phase_name].train):
        raise ConfigError(f"--eval {name}: a phase of pairs has no loss without its reference")
    return HeldOut(name=name, manifest=manifest, phase=phases[phase_name])


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


def evaluate(
    machine: Machine, held: HeldOut, data: PhaseData, samples: int, ranks: tuple[int, int]
) -> dict[str, Any]:
    """Mean losses of a set, and of each of its leaves; `ranks` are this one's number and how many.

    All ranks have to call this together.
    """
    there = replace(
        machine,
        objective=objective(held.phase.train),
        sequence_length=held.phase.sequence_length,
    )
    found = {
        leaf: _sums(there, data, positions, ranks)
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
    machine: Machine, data: PhaseData, positions: Ints, ranks: tuple[int, int]
) -> tuple[float, float]:
    """Sum and count of the loss at these positions, over all ranks.

    Every rank has as many micro batches as any other, for pipelines exchange them one for one; what
    is missing at the end is filled with the first sample, which then counts for nothing.
    """
    rank, count = ranks
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
        sums = forward(machine, iter([batch]), 1, len(asked[part]), learn=False)
        total += sums["loss"]
    return float(total[0]), float(total[1])


def _masked(batch: Batch, counts: np.ndarray) -> Batch:
    return batch if counts.all() else replace(batch, loss_mask=batch.loss_mask * counts[:, None])
