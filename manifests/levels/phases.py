"""L0 of phases: segments that join, quotas that sum, bodies that have what their tables have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from manifests.levels.findings import Kind, LevelReport
from manifests.levels.plain import Tree, planned
from manifests.levels.reading import Ints
from manifests.levels.rows import split_bounds, window_bounds
from manifests.levels.tables import TableFacts
from manifests.resolve.types import Body, Head, Phase, Segment, Supply
from manifests.spec.types import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the phases refer to, read and checked."""

    tables: Mapping[str, TableFacts]
    arrays: Mapping[str, Ints]
    rows: Callable[[str], pa.Table]
    """The columns `documents`, `tokens` and `lengths` of a table."""
    samples: Callable[[str, Layout, int], tuple[int, int]] | None = None
    """Samples and splits of a table under a layout that is no stream, in windows of this length,
    counted in its shards; None where shards are not to be read."""


def check_phases(phases: tuple[Phase, ...], parts: Parts, report: LevelReport) -> None:
    """Each phase by itself, and that each follows one before it."""
    names: list[str] = []
    for phase in phases:
        where = f"phase {phase.name}"
        if phase.name in names or (phase.after and phase.after not in names):
            report.found(
                Kind.FORM, where, "is there twice, or follows a phase that is not before it"
            )
        names.append(phase.name)
        if phase.sequence_length < 1 or not phase.segments:
            report.found(Kind.FORM, where, "has no sequence length or no segment")
            continue
        _check_joints(phase, report)
        for number, segment in enumerate(phase.segments):
            _check_segment(f"{where}, segment {number}", segment, report)
            for supply in segment.supplies:
                at = f"{where}, segment {number}, {supply.leaf}"
                _check_supply(at, supply, phase.sequence_length, parts, report)
        report.count("phases")


def _check_joints(phase: Phase, report: LevelReport) -> None:
    where, first = f"phase {phase.name}", phase.segments[0]
    if first.start or first.first_step:
        report.found(Kind.COUNT, where, "does not begin at position 0 and step 0")
    for before, after in pairwise(phase.segments):
        steps = (before.stop - before.start) // max(1, before.global_batch)
        if (after.start, after.first_step) != (before.stop, before.first_step + steps):
            what = f"the segment at position {after.start:,} does not begin where the last one ends"
            report.found(Kind.COUNT, where, what)


def _check_segment(where: str, segment: Segment, report: LevelReport) -> None:
    samples, supplies = segment.stop - segment.start, segment.supplies
    if segment.start and not samples and not supplies:
        return  # a change that left less than a step
    if segment.global_batch < 1 or samples < 1 or samples % max(1, segment.global_batch):
        report.found(Kind.COUNT, where, f"{samples:,} samples are no whole global batches")
        return
    names = [supply.leaf for supply in supplies]
    if names != sorted(set(names)):
        report.found(Kind.FORM, where, "its leaves are not sorted and distinct")
    quotas = [supply.quota for supply in supplies]
    if sum(quotas) != samples or min(quotas, default=0) < 0:
        report.found(Kind.COUNT, where, f"quotas sum to {sum(quotas):,}, not to {samples:,}")
        return
    plan = planned(segment)
    if not any(supply.planned for supply in supplies):
        if 0 in quotas:
            report.found(Kind.FORM, where, "a leaf is there without a sample")
    elif sum(plan) <= samples or sum(plan) % segment.global_batch:
        report.found(Kind.COUNT, where, f"it was planned with {sum(plan):,} samples, no more steps")
    elif Tree(plan).before(samples) != quotas:
        what = "quotas are not what its plan has come to where it was cut short"
        report.found(Kind.COUNT, where, what)


def _check_supply(
    where: str, supply: Supply, length: int, parts: Parts, report: LevelReport
) -> None:
    for body in [supply.body, *([supply.head.body] if supply.head else [])]:
        if problem := _body_problem(body, length, parts):
            report.found(Kind.COUNT, where, problem)
    if supply.cursor < 0 or supply.first_epoch < 0:
        report.found(Kind.COUNT, where, "begins before its first epoch")
    if supply.head and (problem := _head_problem(supply.head, parts.arrays)):
        report.found(Kind.COUNT, where, problem)


def _body_problem(body: Body, length: int, parts: Parts) -> str:
    """Why a body is not what its table gives in windows of this length; empty if it is."""
    table = parts.tables.get(body.table)
    if table is None or not table.whole:
        return ""  # said of the table
    if body.layout is Layout.STREAM:
        samples = max(0, (table.tokens - 1) // length)
        tokens = samples * length
        if body.windows or body.packing or body.splits:
            return "has windows, which follow from the tokens here"
    else:
        if bool(body.packing) is not (body.layout is Layout.PACKED):
            return "its packing is not named, or it has none"
        tokens = table.tokens - int(table.documents.sum())
        windows = parts.arrays.get(body.windows)
        if windows is None:
            return "" if body.windows else "has no windows"
        rows = parts.rows(body.table)
        fewest, most = window_bounds(rows, body.layout, length)
        if len(windows) != len(fewest) or ((windows < fewest) | (windows > most)).any():
            return "its windows are not what documents of such lengths can have"
        low, high = split_bounds(rows, length)
        if not low <= body.splits <= high:
            between = f"{low:,} to {high:,}" if low < high else f"{low:,}"
            return f"{body.splits:,} of its documents are longer than a window, not {between}"
        samples = int(windows.sum())
    if (body.samples, body.tokens) != (samples, tokens) or not samples:
        return (
            f"an epoch has {body.samples:,} samples and {body.tokens:,} tokens; its table gives"
            f" {samples:,} and {tokens:,}"
        )
    return ""


def _head_problem(head: Head, arrays: Mapping[str, Ints]) -> str:
    holes = arrays.get(head.holes)
    if holes is None and head.holes:
        return ""  # said of the object
    samples, count = head.body.samples, 0 if holes is None else len(holes)
    if min(head.start, head.taken, head.epoch) < 0 or head.count < 1:
        return "its head is none"
    if holes is not None and (
        not count
        or (holes[1:] <= holes[:-1]).any()
        or holes[0] < head.start
        or holes[-1] >= samples
    ):
        return f"holes are not sorted ranks from {head.start:,} to {samples - 1:,}"
    if samples - head.start - count != head.taken + head.count:
        return f"its head has {head.count:,} samples left, which is not what holes and start leave"
    return ""
