"""L4: the order that is trained in is the one that the manifest fixed.

The places of the probe positions are computed twice, by `manifests.order`, which trains, and by
plain arithmetic written apart from it (`manifests.levels.plain`); both must give the stored digest.
A sample of positions is then looked up backwards. Where a table changed on the way, what was left
out of begun epochs is found again in the documents.
"""

import hashlib
import json
from bisect import bisect_right
from dataclasses import replace
from functools import partial

import numpy as np

from manifests.errors import DataError
from manifests.levels.chains import check_chains
from manifests.levels.findings import Kind, LevelReport, Progress, listed
from manifests.levels.gone import GoneFrom
from manifests.levels.metadata import Material
from manifests.levels.packed import PACKING
from manifests.levels.plain import Place, PlainOrder
from manifests.levels.reading import Bad
from manifests.levels.resolution import check_resolution
from manifests.order import PhaseOrder
from manifests.resolve.types import ORDER, Body, Phase
from manifests.select.window_counts import WindowCounts
from manifests.spec.types import Layout

PROBES = 4096
BACKWARDS = 64
"""Positions of a phase that are looked up from sample to position."""


def check_order(material: Material, report: LevelReport, progress: Progress | None = None) -> None:
    """All phases; nothing where the manifest is not whole, which L0 has told."""
    root = material.root
    if why := _not_ours(material):
        report.notes.append(f"not computed, since {why}")
        return
    for number, phase in enumerate(root.phases):
        try:
            _check_phase(material, phase, report)
        except (DataError, ValueError, LookupError, StopIteration) as error:
            text = str(error) or type(error).__name__
            report.found(Kind.ORDER, f"phase {phase.name}", f"has no order: {text}")
        if progress:
            progress("phases ordered", number + 1, len(root.phases))
    _check_gone(material, report)


def _not_ours(material: Material) -> str:
    """Why the order cannot be computed by this program; empty if it can."""
    root = material.root
    if root.order != ORDER:
        return f"its order is {root.order}"
    segments = [segment for phase in root.phases for segment in phase.segments]
    supplies = [supply for segment in segments for supply in segment.supplies]
    bodies = [s.body for s in supplies] + [s.head.body for s in supplies if s.head]
    if others := {body.packing for body in bodies} - {"", PACKING}:
        return f"documents are packed by {', '.join(sorted(others))}"
    return "" if material.whole else "the manifest is not whole"


def _check_phase(material: Material, phase: Phase, report: LevelReport) -> None:
    where = f"phase {phase.name}"
    positions = sorted({number * phase.samples // PROBES for number in range(PROBES)})
    report.count("positions", len(positions))
    plain = PlainOrder(phase, material.root.seed, lambda holes: material.arrays[holes].tolist())
    places = [plain.place(position) for position in positions]
    if _digest(material, phase, places) != material.root.probes.get(phase.name):
        what = f"the places of its {len(positions):,} probe positions are not those of its digest"
        report.found(Kind.ORDER, where, what)
    order = PhaseOrder(phase, material.root.seed, material.arrays.__getitem__)
    asked = np.array(positions, dtype=np.int64)
    trained = order.places(asked)
    columns = (trained.segment, trained.supply, trained.in_head, trained.epoch, trained.sample)
    found = [Place(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    if differ := [p for p, one, two in zip(positions, places, found, strict=True) if one != two]:
        what = f"positions that plain arithmetic places elsewhere: {listed(list(map(str, differ)))}"
        report.found(Kind.ORDER, where, what)
    chosen = _backwards(material, phase, positions)
    report.count("looked up backwards", len(chosen))
    if lost := _lost(order, [(positions[number], found[number]) for number in chosen]):
        what = f"positions that their samples do not lead back to: {listed(lost)}"
        report.found(Kind.ORDER, where, what)


def _lost(order: PhaseOrder, asked: list[tuple[int, Place]]) -> list[str]:
    """Positions that are not among those of their sample, or whose sample comes twice in an epoch
    of its segment.
    """
    groups: dict[tuple[int, int, bool], list[tuple[int, Place]]] = {}
    for position, place in asked:
        groups.setdefault((place.segment, place.supply, place.in_head), []).append(
            (position, place)
        )
    lost = []
    for (segment, supply, in_head), members in groups.items():
        samples = np.array([place.sample for _, place in members], dtype=np.int64)
        which, back = order.occurrences(segment, supply, in_head, samples)
        again = order.places(back)
        epochs = list(zip(which.tolist(), again.epoch.tolist(), strict=True))
        for number, (position, place) in enumerate(members):
            here = which == number
            right = bool((again.sample[here] == place.sample).all())
            once = epochs.count((number, place.epoch)) == 1
            if position not in back[here].tolist() or not right or not once:
                lost.append(str(position))
    return lost


def _backwards(material: Material, phase: Phase, positions: list[int]) -> list[int]:
    """Which of the positions to look up backwards: drawn by the digest."""

    def draw(number: int) -> bytes:
        text = f"{material.digest} {phase.name} {positions[number]}"
        return hashlib.sha256(text.encode()).digest()

    return sorted(range(len(positions)), key=draw)[:BACKWARDS]


def _digest(material: Material, phase: Phase, places: list[Place]) -> str:
    """Of the places, with leaf, epoch, shard and how far in it, as probes are written."""
    starts: dict[Body, tuple[list[int], list[str]]] = {}
    rows = []
    for number, place in enumerate(places):
        supply = phase.segments[place.segment].supplies[place.supply]
        body = supply.head.body if place.in_head and supply.head else supply.body
        if body not in starts:
            starts[body] = _ends(material, body)
        ends, names = starts[body]
        streams = body.layout is Layout.STREAM
        first = place.sample * phase.sequence_length if streams else place.sample
        shard = bisect_right(ends, first)
        offset = first - (ends[shard - 1] if shard else 0)
        rows.append([supply.leaf, number, place.epoch, names[shard], offset])
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _ends(material: Material, body: Body) -> tuple[list[int], list[str]]:
    """Where each shard of a body ends, in tokens or samples, and its sha256."""
    facts = material.tables[body.table]
    sizes = facts.sizes if body.layout is Layout.STREAM else material.arrays[body.windows]
    ends: list[int] = np.cumsum(sizes).tolist()
    return ends, material.rows(body.table, ["sha256"])["sha256"].to_pylist()


def _check_gone(material: Material, report: LevelReport) -> None:
    """What is left of begun epochs, as the documents have it."""
    gone = GoneFrom(material)
    try:
        check_chains(material.root.phases, material.rules(gone), report)
        if material.mixture and material.unresolved:
            samples = partial(_samples, material, WindowCounts(material.store))
            parts = replace(material.parts, samples=samples)
            check_resolution(material.root, material.mixture, material.parents, parts, report)
    except (Bad, DataError) as bad:
        report.found(Kind.ORDER, "phases", f"what is gone cannot be told: a shard {bad}")
    report.count("changed shards", gone.shards)


def _samples(
    material: Material, counts: WindowCounts, table: str, layout: Layout, length: int
) -> tuple[int, int]:
    counted = counts.of(material.rows(table), (layout, length))
    return int(counted.windows.sum()), counted.splits
