"""The resolution recomputed: spec and tables give these phases, and no others.

Here `manifests.resolve` itself is run again; what is checked is that it ran on this spec and these
tables and that its result was kept. That its arithmetic is right, its own tests tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np

from manifests.errors import ConfigError
from manifests.levels.findings import Kind, LevelReport, listed
from manifests.levels.packed import PACKING
from manifests.levels.phases import Parts
from manifests.levels.plain import survivor
from manifests.levels.reading import Ints
from manifests.levels.rows import split_bounds, window_bounds
from manifests.objects.root import Root
from manifests.resolve.phases import Version, rebase, resolve
from manifests.resolve.types import Body, Head, LeafSupply, Phase, source_of
from manifests.spec.types import Layout, Mixture


class Unknown(Exception):
    """It cannot be recomputed from what a manifest keeps."""


def check_resolution(
    root: Root, mixture: Mixture, parents: Sequence[Root], parts: Parts, report: LevelReport
) -> bool:
    """Resolve again and compare: from the spec alone, or as going on from a parent.

    Holes are taken as they are stored (`manifests.levels.chains` tells whether they are right).
    False: how many samples a leaf has can only be told by its shards.
    """
    supplies = [
        _Tables(root, parts, tables, certain)
        for tables, certain in tables_by_version(root, mixture)
    ]
    holes = [_Holes(root, parts.arrays, one) for one in supplies]
    first, *later = [Version(supplies=s, holes=h) for s, h in zip(supplies, holes, strict=True)]
    try:
        found = _from_spec(root, mixture, [replace(first, holes=None), *later])
        point = found and _goes_on(root, mixture, parents, later[-1] if later else first)
    except Unknown as unknown:
        report.notes.append(f"not resolved again: {unknown}")
        return False
    if not found or point:
        how = f"as going on from {point}" if point else "from the spec and the tables"
        report.notes.append(f"resolved again {how}: the same")
        return True
    if len(parents) < len(root.parents):
        report.notes.append("not resolved again: a parent is not there")
    elif root.parents and any(change.remove for change in mixture.changes):
        report.notes.append(
            "not resolved again: it goes on from another manifest and removes something later on;"
            " its cursors and quotas are continuous"
        )
    elif guessed := sorted({leaf for one in supplies for leaf in one.guessed}):
        report.notes.append(
            f"not resolved again: the tables of {listed(guessed)} before a change are not kept"
        )
    else:
        report.found(Kind.RESOLUTION, "phases", listed(found))
    return True


def _from_spec(root: Root, mixture: Mixture, versions: Sequence[Version]) -> list[str]:
    """In what the phases are not what the spec gives."""
    try:
        return differences(_plain(root.phases), _plain(resolve(mixture, versions)))
    except ConfigError as error:
        return [f"the spec does not resolve over the tables: {error}"]


def _goes_on(root: Root, mixture: Mixture, parents: Sequence[Root], version: Version) -> str:
    """The parent and the step from which this spec gives these phases; empty if there is none."""
    stored = _plain(root.phases)
    for parent in parents:
        for phase in root.phases:
            begins = [segment.first_step for segment in phase.segments]
            for step in sorted({0, phase.steps, *begins}):
                try:
                    made = rebase(parent.phases, mixture, phase.name, step, version)
                except (ConfigError, ValueError, LookupError):
                    continue  # not the step
                if not differences(stored, _plain(made.phases)):
                    return f"step {step:,} of {phase.name} of a parent"
    return ""


def tables_by_version(
    root: Root, mixture: Mixture
) -> list[tuple[dict[str, str], Mapping[str, str]]]:
    """For the first selection and after each change: the table of each leaf, and those of them
    that the manifest says for certain.

    A leaf's table stays until a change removes something, and is named by every supply from it.
    """
    certain: list[dict[str, str]] = [{} for _ in range(len(mixture.changes) + 1)]
    for phase, numbers in _versions_used(root, mixture):
        for segment, number in zip(phase.segments, numbers, strict=False):
            certain[number] |= {supply.leaf: supply.body.table for supply in segment.supplies}
    certain[-1] = {leaf.name: leaf.table.digest for leaf in root.leaves}
    for number, change in reversed(list(enumerate(mixture.changes))):
        if not change.remove:
            certain[number] = {**certain[number + 1], **certain[number]}
    for number, change in enumerate(mixture.changes, 1):
        if not change.remove:
            certain[number] = {**certain[number - 1], **certain[number]}
    found = list(certain)
    for number in reversed(range(len(mixture.changes))):
        found[number] = {**found[number + 1], **certain[number]}
    return list(zip(found, certain, strict=True))


def _versions_used(root: Root, mixture: Mixture) -> list[tuple[Phase, list[int]]]:
    """The version under which each segment of each phase was resolved."""
    by_name = {phase.name: phase for phase in root.phases}
    used, found = {"": 0}, []
    for spec in mixture.phases:
        changes = [i for i, one in enumerate(mixture.changes, 1) if one.phase == spec.name]
        # What was removed once is there in nothing that follows.
        numbers = list(accumulate([used.get(spec.after, 0), *changes], max))
        used[spec.name] = numbers[-1]
        if spec.name in by_name:
            found.append((by_name[spec.name], numbers))
    return found


def differences(stored: Any, again: Any, path: str = "") -> list[str]:
    """Where two values of plain data differ, and how."""
    if isinstance(stored, dict) and isinstance(again, dict):
        names = sorted({*stored, *again})
        return [
            found
            for name in names
            for found in differences(stored.get(name), again.get(name), f"{path}.{name}")
        ]
    if isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        pairs = enumerate(zip(stored, again, strict=True))
        return [
            found
            for number, (old, new) in pairs
            for found in differences(old, new, f"{path}[{_name(old, number)}]")
        ]
    if stored == again:
        return []
    told = path.removeprefix(".")
    if isinstance(stored, list) and isinstance(again, list):
        return [f"{told} has {len(stored)} entries, resolved again {len(again)}"]
    return [f"{told} is {_short(stored)}, resolved again {_short(again)}"]


def _name(value: object, number: int) -> str:
    if isinstance(value, dict):
        return str(value.get("leaf") or value.get("name") or number)
    return str(number)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:60]}..." if len(text) > 63 else text


def _plain(phases: Sequence[Phase]) -> Any:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return {phase.name: plain(asdict(phase)) for phase in phases}


@dataclass(slots=True)
class _Tables:
    """The leaves of one version, out of their stored tables."""

    root: Root
    parts: Parts
    tables: Mapping[str, str]
    certain: Mapping[str, str]
    guessed: set[str] = field(default_factory=set)
    """Leaves that were asked for and may have had another table then."""

    def leaves(self, source: str) -> list[str]:
        return sorted(leaf for leaf in self.tables if source_of(leaf) == source)

    def has(self, leaf: str) -> bool:
        return leaf in self.tables

    def of(self, leaf: str, layout: Layout, sequence_length: int) -> LeafSupply:
        if leaf not in self.certain:
            self.guessed.add(leaf)
        digest = self.tables[leaf]
        table = self.parts.tables.get(digest)
        if table is None or not table.whole:
            raise Unknown(f"the table of {leaf} is not whole")
        documents = int(table.documents.sum())
        if layout is Layout.STREAM:
            samples = max(0, (table.tokens - 1) // sequence_length)
            tokens = samples * sequence_length
            body = Body(table=digest, layout=layout, samples=samples, tokens=tokens)
        else:
            body = self._cut(leaf, digest, layout, sequence_length, table.tokens - documents)
        if not body.samples:
            raise ConfigError(f"source {leaf} is not one window of {sequence_length} tokens")
        return LeafSupply(leaf=leaf, body=body, documents=documents)

    def _cut(self, leaf: str, table: str, layout: Layout, length: int, tokens: int) -> Body:
        """The body as the manifest names it, else without the digest of its windows."""
        for phase in self.root.phases:
            for supply in (s for segment in phase.segments for s in segment.supplies):
                for body in [supply.body, *([supply.head.body] if supply.head else [])]:
                    named = (body.table, body.layout, phase.sequence_length)
                    if named == (table, layout, length):
                        return replace(body, tokens=tokens)
        rows = self.parts.rows(table)
        fewest, most = window_bounds(rows, layout, length)
        low, high = split_bounds(rows, length)
        samples, splits = int(fewest.sum()), low
        if low != high or not np.array_equal(fewest, most):
            if self.parts.samples is None:
                raise Unknown(f"how many samples {leaf} has is told by its shards only (L4 counts)")
            samples, splits = self.parts.samples(table, layout, length)
        packing = PACKING if layout is Layout.PACKED else ""
        return Body(
            table=table,
            layout=layout,
            samples=samples,
            tokens=tokens,
            packing=packing,
            splits=splits,
        )


@dataclass(slots=True)
class _Holes:
    """Holes as the manifest has them."""

    root: Root
    arrays: Mapping[str, Ints]
    now: _Tables

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int
    ) -> tuple[str, int]:
        table = self.now.tables.get(leaf, "")
        for phase in self.root.phases:
            for supply in (s for segment in phase.segments for s in segment.supplies):
                head = supply.head
                if (
                    head
                    and (supply.leaf, supply.body.table) == (leaf, table)
                    and (head.body, head.epoch, head.start) == (body, epoch, start)
                ):
                    return head.holes, len(self.arrays.get(head.holes, ()))
        return "", body.samples - start  # no head, so nothing is left

    def rank(self, head: Head, number: int) -> int:
        gone = self.arrays.get(head.holes, ())
        return survivor(list(gone), head.start, head.taken + number)
