"""The places of a few positions of a phase, digested: what all ranks compare before step 1.

Equal digests mean the same leaf, shard, offset and epoch at 4,096 positions spread over the phase,
from whatever machine, library or table they were computed.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from manifests.fingerprint import canonical_json, sha256
from manifests.order import PhaseOrder
from manifests.resolve.types import Body, Phase
from manifests.windows import Windows

PROBES = 4096

TableOf = Callable[[str], pa.Table]
"""From a table's digest to its rows: at least `sha256` and `tokens`."""


def probe_digest(
    phase: Phase, order: PhaseOrder, shas_of: TableOf, windows_of: Callable[[Body, int], Windows]
) -> str:
    """64 hex digits that stand for the order of a phase and for the shards in it."""
    positions = np.unique(np.arange(PROBES, dtype=object) * phase.samples // PROBES)
    places = order.places(positions.astype(np.int64))
    group = np.stack([places.segment, places.supply, places.in_head.astype(np.int64)])
    found = []
    for segment, supply, in_head in np.unique(group, axis=1).T.tolist():
        chosen = phase.segments[segment].supplies[supply]
        body = chosen.head.body if in_head and chosen.head else chosen.body
        at = np.flatnonzero((group == [[segment], [supply], [in_head]]).all(axis=0))
        shards, offsets = windows_of(body, phase.sequence_length).shards(places.sample[at])
        names = shas_of(body.table)["sha256"].take(pa.array(shards)).to_pylist()
        columns = (at.tolist(), places.epoch[at].tolist(), names, offsets.tolist())
        found += [[chosen.leaf, *row] for row in zip(*columns, strict=True)]
    return sha256(canonical_json(sorted(found, key=lambda row: row[1])))
