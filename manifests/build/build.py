"""From a mixture to the root of a manifest: select, write the tables, resolve, probe.

The same mixture over the same commits gives the same root, whoever builds it and when. A plan is
the same build with `objects` in memory.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from manifests.build.holes import GoneSamples
from manifests.build.overlap import refuse_overlap
from manifests.build.probes import probe_digest
from manifests.build.supplies import Selected, cuts_of
from manifests.objects.ranges import read_table
from manifests.objects.root import Descriptor, Root
from manifests.objects.tree import Objects
from manifests.order import PhaseOrder
from manifests.resolve.phases import Version, resolve
from manifests.resolve.types import ORDER, Body, Phase
from manifests.select.selection import SelectedLeaf, SourceProgress, select
from manifests.select.takedowns import removed_ids, take_down
from manifests.select.window_counts import WindowCounts
from manifests.shards import parquet_bytes, parquet_file
from manifests.spec.canonical import to_plain
from manifests.spec.types import Mixture, Removal
from manifests.store import Store
from manifests.windows import Ints, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What a mixture is resolved over."""

    leaves: Sequence[SelectedLeaf]
    """Without what the mixture removes for good."""
    removed: Sequence[str] | None = None
    """Ids of all removed records, sorted; None: those that the mixture names."""
    parents: tuple[str, ...] = ()
    """Manifests that it comes from."""


def build(
    store: Store, mixture: Mixture, objects: Objects, progress: SourceProgress | None = None
) -> Root:
    """The root of a mixture's manifest; all that it names is in `objects`, itself not yet.

    Raises:
        ConfigError: The mixture does not fit what is committed; says which entry, and what to do.
        DataError: Something committed is broken.
    """
    leaves = without(store, select(store, mixture, progress), mixture.remove)
    return build_over(store, mixture, Data(leaves=leaves), objects)


def build_over(store: Store, mixture: Mixture, data: Data, objects: Objects) -> Root:
    """As `build`, over data that somebody chose."""
    leaves, counts, cuts = data.leaves, WindowCounts(store), cuts_of(mixture)
    versions = [Selected(counts, objects, leaves, cuts)]
    refuse_overlap(mixture, versions[0])
    for change in mixture.changes:
        leaves = without(store, leaves, change.remove)
        versions.append(Selected(counts, objects, leaves, cuts))
    written = ChainMap(*(version.written for version in versions))
    later = [
        Version(supplies=now, holes=GoneSamples(store, objects, mixture.seed, now, written))
        for now in versions[1:]
    ]
    phases = resolve(mixture, [Version(supplies=versions[0]), *later])
    return assemble(objects, mixture, phases, versions[-1], written, data)


def without(
    store: Store, leaves: Sequence[SelectedLeaf], removals: Sequence[Removal]
) -> list[SelectedLeaf]:
    """The leaves without what is removed; one that loses all its records is gone."""
    ids = removed_ids(removals)
    dropped = {removal.source for removal in removals}
    kept = [leaf for leaf in leaves if leaf.source not in dropped]
    tables = take_down(store, [leaf.rows for leaf in kept], ids).tables
    left = [replace(leaf, rows=rows) for leaf, rows in zip(kept, tables, strict=True)]
    return [leaf for leaf in left if leaf.rows.num_rows]


def assemble(
    objects: Objects,
    mixture: Mixture,
    phases: Sequence[Phase],
    selected: Selected,
    written: Mapping[str, Descriptor],
    data: Data,
) -> Root:
    """The root over resolved phases; `written` has every object that they refer to."""
    leaves = selected.roots()
    own = {leaf.table.digest for leaf in leaves}
    referred = {digest for phase in phases for digest in digests_of(phase)} - own
    return Root(
        name=mixture.name,
        seed=mixture.seed,
        tokenizer=mixture.tokenizer,
        order=ORDER,
        spec=objects.put_json(to_plain(mixture)),
        leaves=leaves,
        phases=tuple(phases),
        objects=tuple(written[digest] for digest in sorted(referred)),
        removed=_keep_ids(objects, _removed(mixture) if data.removed is None else data.removed),
        probes=probes(objects, phases, mixture.seed, written, selected.tables()),
        parents=data.parents,
    )


def digests_of(phase: Phase) -> set[str]:
    """The objects that a phase refers to."""
    found = {""}
    for supply in (supply for segment in phase.segments for supply in segment.supplies):
        bodies = [supply.body, *([supply.head.body] if supply.head else [])]
        found |= {digest for body in bodies for digest in (body.table, body.windows)}
        found |= {supply.head.holes} if supply.head else set()
    return found - {""}


def probes(
    objects: Objects,
    phases: Iterable[Phase],
    seed: int,
    written: Mapping[str, Descriptor],
    known: Mapping[str, pa.Table],
) -> dict[str, str]:
    """The digest of each phase's probe positions; tables that are not `known` are read."""
    tables = dict(known)
    windows: dict[tuple[Body, int], Windows] = {}

    def table_of(digest: str) -> pa.Table:
        if digest not in tables:
            tables[digest] = read_table(objects, digest, ["sha256", "tokens"])
        return tables[digest]

    def array(digest: str) -> Ints:
        return objects.get_npy(written[digest])

    def windows_of(body: Body, length: int) -> Windows:
        key = (body, length)
        if key not in windows:
            windows[key] = Windows.of(body, length, table_of, array)
        return windows[key]

    return {
        phase.name: probe_digest(phase, PhaseOrder(phase, seed, array), table_of, windows_of)
        for phase in phases
    }


def _removed(mixture: Mixture) -> tuple[str, ...]:
    """The ids of all records that a mixture removes, for good or from some step on, sorted."""
    removals = [*mixture.remove, *(r for change in mixture.changes for r in change.remove)]
    return removed_ids(removals)


def kept_ids(objects: Objects, root: Root) -> tuple[str, ...]:
    """The ids of all removed records, as a root has them."""
    if root.removed is None:
        return ()
    found = parquet_file(objects.get(root.removed)).read(columns=["id"])["id"]
    return tuple(found.to_pylist())


def _keep_ids(objects: Objects, ids: Sequence[str]) -> Descriptor | None:
    """Ids of records that must not be there any more, as an object."""
    if not ids:
        return None
    return objects.put(parquet_bytes(pa.table({"id": pa.array(ids, pa.string())})), "parquet")
