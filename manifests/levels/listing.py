"""L0 of the root: what it lists, its parents, the sums of its leaves, the ids it removed."""

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import DataError
from manifests.levels.findings import Kind, LevelReport
from manifests.levels.reading import Bad, checked_bytes, key_of, object_bytes
from manifests.levels.tables import TableFacts
from manifests.objects.manifest import parse_root
from manifests.objects.root import SCHEMA, Root
from manifests.resolve.types import Phase
from manifests.store import Store


def check_listing(root: Root, report: LevelReport) -> None:
    """Does the root list what it needs, each once, and no more?"""
    if root.schema != SCHEMA:
        report.found(Kind.FORM, "root", f"is of the schema {root.schema}, not {SCHEMA}")
    names = [leaf.name for leaf in root.leaves]
    if names != sorted(set(names)):
        report.found(Kind.FORM, "root", "its leaves are not sorted and distinct")
    for leaf in root.leaves:
        if leaf.name != (f"{leaf.source}/{leaf.stratum}" if leaf.stratum else leaf.source):
            report.found(Kind.FORM, f"leaf {leaf.name}", "is not named by its source and stratum")
    own = {leaf.table.digest for leaf in root.leaves}
    listed = [part.digest for part in root.objects]
    if listed != sorted(set(listed)) or own & set(listed):
        report.found(
            Kind.FORM, "root", "its objects are not sorted, distinct and beside the leaves'"
        )
    referred = {digest for phase in root.phases for digest in _referred(phase)}
    for digest in sorted(referred - own - set(listed)):
        report.found(
            Kind.MISSING, f"object {digest[:16]}", "phases refer to it; the root lists none"
        )
    for digest in sorted(set(listed) - referred):
        report.found(Kind.FORM, f"object {digest[:16]}", "is listed, and nothing refers to it")
    if set(root.probes) != {phase.name for phase in root.phases}:
        report.found(Kind.FORM, "root", "its probes are not of its phases")


def _referred(phase: Phase) -> set[str]:
    found = set()
    for supply in (supply for segment in phase.segments for supply in segment.supplies):
        found |= {supply.body.table, supply.body.windows}
        if supply.head:
            found |= {supply.head.body.table, supply.head.body.windows, supply.head.holes}
    return found - {""}


def check_parents(store: Store, root: Root, report: LevelReport) -> tuple[Root, ...]:
    """Only that they are there, as what they are named with: each is a manifest of its own."""
    found = []
    for parent in root.parents:
        where = key_of(parent, "json")
        try:
            found.append(parse_root(checked_bytes(store, where, parent, None), "it"))
        except Bad as bad:
            report.found(bad.kind, where, bad.what)
        except DataError as error:
            report.found(Kind.FORM, where, str(error))
        report.count("objects")
    return tuple(found)


def check_leaves(root: Root, tables: dict[str, TableFacts], report: LevelReport) -> None:
    """Are its leaves as many shards, documents and tokens as their tables?"""
    for leaf in root.leaves:
        table = tables.get(leaf.table.digest)
        if table is None or not table.whole:
            continue
        has = (len(table.sizes), int(table.documents.sum()), table.tokens)
        told = (leaf.shards, leaf.documents, leaf.tokens)
        if has != told:
            what = "has {:,} shards, {:,} documents, {:,} tokens".format(*has)
            what += "; the root says {:,}, {:,}, {:,}".format(*told)
            report.found(Kind.COUNT, f"leaf {leaf.name}", what)


def read_removed(store: Store, root: Root, report: LevelReport) -> frozenset[str]:
    """The ids that must not be there; none where their object is broken."""
    if root.removed is None:
        return frozenset()
    report.count("objects")
    where = key_of(root.removed.digest, root.removed.media)
    try:
        data = object_bytes(store, root.removed)
        column = pq.read_table(pa.BufferReader(data))["id"]
    except Bad as bad:
        report.found(bad.kind, where, bad.what)
        return frozenset()
    except (pa.ArrowException, OSError, KeyError) as error:
        report.found(Kind.CORRUPT, where, f"has no ids: {str(error).splitlines()[0]}")
        return frozenset()
    ids = column.to_pylist()
    if None in ids or ids != sorted(set(ids)):
        report.found(Kind.FORM, where, "its ids are not sorted and distinct")
    return frozenset(ids)
