"""L0: every object below the root is there and whole, and all of them agree.

Digests, JSON, tables, sums and cursors are checked by code of its own. The types of the root and of
the spec are those of the reader, and the resolution is run again (`manifests.levels.resolution`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from manifests.errors import DataError
from manifests.levels.chains import Gone, Rules, check_chains, restarts
from manifests.levels.findings import Kind, LevelReport, Progress
from manifests.levels.listing import check_leaves, check_listing, check_parents, read_removed
from manifests.levels.phases import Parts, check_phases
from manifests.levels.reading import (
    Bad,
    Ints,
    at_once,
    canonical,
    checked_bytes,
    key_of,
    numbers,
    object_bytes,
)
from manifests.levels.resolution import check_resolution
from manifests.levels.tables import TableFacts, check_tables
from manifests.objects.manifest import parse_root
from manifests.objects.ranges import read_ranges
from manifests.objects.root import Descriptor, Root
from manifests.objects.tree import Objects
from manifests.resolve.types import ORDER
from manifests.spec.canonical import from_plain
from manifests.spec.types import Mixture
from manifests.store import Store


@dataclass(kw_only=True)
class Material:
    """What L0 found whole, for the levels above."""

    store: Store
    digest: str
    root: Root
    mixture: Mixture | None
    """None where the spec is broken."""
    parents: tuple[Root, ...]
    """Of those that are there."""
    tables: dict[str, TableFacts]
    arrays: dict[str, Ints]
    removed: frozenset[str]
    """Ids that must not be there."""
    unresolved: bool = False
    """Whether only the shards can tell if it was resolved rightly."""

    @cached_property
    def whole(self) -> bool:
        """Whether every table and array is there."""
        named = {part.digest for part in self.root.objects}
        named |= {leaf.table.digest for leaf in self.root.leaves}
        read = {digest for digest, table in self.tables.items() if table.whole} | set(self.arrays)
        return named <= read

    def rows(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the whole ranges of a table."""
        return read_ranges(Objects(self.store), self.tables[table].ranges, columns)

    def rules(self, gone: Gone | None = None) -> Rules:
        """What the beginnings of leaves are judged by."""
        # Under which spec a phase of the past began, the parents know.
        free = self.mixture is None or bool(self.root.parents)
        may = restarts(self.mixture) if self.mixture and not free else lambda phase, leaf: True
        return Rules(may_restart=may, holes=lambda held: self.arrays[held].tolist(), gone=gone)

    @property
    def parts(self) -> Parts:
        """What the phases refer to."""
        return Parts(
            tables=self.tables,
            arrays=self.arrays,
            rows=lambda table: self.rows(table, ["documents", "tokens", "lengths"]),
        )


def check_metadata(
    store: Store, digest: str, report: LevelReport, progress: Progress | None = None
) -> Material | None:
    """L0 of the manifest with this digest; None where not even its root can be read."""
    where = key_of(digest, "json")
    try:
        data = checked_bytes(store, where, digest, None)
        canonical(data)
        root = parse_root(data, "it")
    except Bad as bad:
        report.found(bad.kind, where, bad.what)
        return None
    except DataError as error:
        report.found(Kind.FORM, where, str(error))
        return None
    report.count("objects")
    check_listing(root, report)
    parents = check_parents(store, root, report)
    plain, arrays = _read_parts(store, root, report)
    tables = check_tables(store, _tables(root), report, progress)
    report.count("objects", len(_tables(root)) + report.checked["ranges"])
    check_leaves(root, tables, report)
    mixture = _mixture(root, plain, report)
    material = Material(
        store=store,
        digest=digest,
        root=root,
        mixture=mixture,
        parents=parents,
        tables=tables,
        arrays=arrays,
        removed=read_removed(store, root, report),
    )
    _check_phases(material, report)
    return material


def _check_phases(material: Material, report: LevelReport) -> None:
    root, mixture, parts = material.root, material.mixture, material.parts
    before = len(report.findings)
    check_phases(root.phases, parts, report)
    if not material.whole or mixture is None or len(report.findings) > before:
        report.notes.append("not resolved again, since it is not whole")
        return
    check_chains(root.phases, material.rules(), report)
    if root.order != ORDER:
        report.notes.append(f"not resolved again: this version knows the order {ORDER} only")
    elif not check_resolution(root, mixture, material.parents, parts, report):
        material.unresolved = True


def _tables(root: Root) -> list[Descriptor]:
    listed = [leaf.table for leaf in root.leaves]
    listed += [part for part in root.objects if part.media == "json"]
    return list({part.digest: part for part in listed}.values())


def _read_parts(store: Store, root: Root, report: LevelReport) -> tuple[Any, dict[str, Ints]]:
    """The plain spec, None if it is broken; and all arrays."""
    wanted = [root.spec, *(part for part in root.objects if part.media != "json")]

    def read(part: Descriptor) -> Any:
        try:
            data = object_bytes(store, part)
            if part.media == "npy":
                return numbers(data)
            if part is root.spec and part.media == "json":
                return canonical(data)
        except Bad as bad:
            return bad
        return Bad(Kind.FORM, f"no {part.media} has a place here")

    plain, arrays = None, {}
    for part, found in zip(wanted, at_once(read, wanted), strict=True):
        report.count("objects")
        if isinstance(found, Bad):
            report.found(found.kind, key_of(part.digest, part.media), found.what)
        elif part is root.spec:
            plain = found
        else:
            arrays[part.digest] = found
    return plain, arrays


def _mixture(root: Root, plain: Any, report: LevelReport) -> Mixture | None:
    if plain is None:
        return None
    where = key_of(root.spec.digest, root.spec.media)
    try:
        mixture = from_plain(plain, "it")
    except DataError as error:
        report.found(Kind.FORM, where, str(error))
        return None
    told = {"name": mixture.name, "seed": mixture.seed, "tokenizer": asdict(mixture.tokenizer)}
    has = {"name": root.name, "seed": root.seed, "tokenizer": asdict(root.tokenizer)}
    for name in told:
        if told[name] != has[name]:
            what = f"its {name} is {told[name]}, the root's is {has[name]}"
            report.found(Kind.RESOLUTION, where, what)
    sources = {source.name for source in mixture.sources}
    for leaf in root.leaves:
        if leaf.source not in sources:
            report.found(Kind.RESOLUTION, f"leaf {leaf.name}", "is of no source of the spec")
    return mixture
