"""What a manifest trains on, sample by sample, for small ones."""

from dataclasses import dataclass

import numpy as np

from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What stands at a position."""

    leaf: str
    table: str
    epoch: int
    sample: int


def trained(manifest: Manifest, phase: str) -> list[Trained]:
    """What stands at each position of a phase."""
    found = manifest.phase(phase)
    places = manifest.order(phase).places(np.arange(found.samples))
    columns = (places.segment, places.supply, places.in_head, places.epoch, places.sample)
    made = []
    for segment, number, in_head, epoch, sample in zip(*(c.tolist() for c in columns), strict=True):
        supply = found.segments[segment].supplies[number]
        body = supply.head.body if in_head and supply.head else supply.body
        made.append(Trained(leaf=supply.leaf, table=body.table, epoch=epoch, sample=sample))
    return made


def held(manifest: Manifest, phase: str) -> list[set[str]]:
    """The ids of the documents of which the sample at each position has a token."""
    contents, found = Contents(manifest), manifest.phase(phase)
    bodies = {
        body.table: body
        for segment in found.segments
        for supply in segment.supplies
        for body in (supply.body, *([supply.head.body] if supply.head else []))
    }
    known: dict[tuple[str, int], set[str]] = {}
    for one in trained(manifest, phase):
        if (one.table, one.sample) not in known:
            spans = contents.spans(bodies[one.table], found.sequence_length, one.sample)
            known[one.table, one.sample] = {
                contents.documents(one.table, span.shard).ids[span.document].as_py()
                for span in spans
            }
    return [known[one.table, one.sample] for one in trained(manifest, phase)]
