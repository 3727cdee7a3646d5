"""Whether a held-out set has documents of what a run trains on: its losses would tell nothing.

Shards are compared by their digests, whole columns at once: only rows of shards that both have are
looked at one by one. A document that two steps have made twice is not seen.
"""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ConfigError
from manifests.locate.contents import bodies_of
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from trainer.loop.heldout import HeldOut

_WHAT = ("sha256", "step", "slice_index", "picked")


def refuse_trained_on(held: HeldOut, manifest: Manifest, phases: Sequence[Phase]) -> None:
    """Raise ConfigError where these phases, or those that they go on from, train on the set."""
    trained = _tables(_with_those_before(manifest, phases))
    mine = _tables([held.phase])
    looked_at = _digests(held.manifest, mine)
    shared = looked_at.filter(pc.is_in(looked_at, _digests(manifest, trained)))
    if not len(shared):
        return
    both = _rows(held.manifest, mine, shared).join(
        _rows(manifest, trained, shared), keys="sha256", join_type="inner", right_suffix=" trained"
    )
    hits = [row for row in both.to_pylist() if _meet(row["picked"], row["picked trained"])]
    if not hits:
        return
    first = min(hits, key=lambda row: (row["step"], row["slice_index"], row["table trained"]))
    count, name = len({row["sha256"] for row in hits}), manifest.root.name
    told = "is trained on:" if count == 1 else "are trained on, the first is"
    raise ConfigError(
        f"--eval {held.name}: {count:,} of its shards {told} slice {first['slice_index']} of"
        f" {PurePosixPath(first['step']).parent.name} in phase {trained[first['table trained']]} of"
        f" {name}; build the held-out manifest over steps that {name} does not name, or over other"
        " records of them"
    )


def _with_those_before(manifest: Manifest, phases: Sequence[Phase]) -> list[Phase]:
    """These phases and all that their weights have been through before, in the manifest's order."""
    there = {phase.name: phase for phase in manifest.root.phases}
    names = set[str]()
    for phase in phases:
        at: Phase | None = phase
        while at and at.name not in names:
            names.add(at.name)
            at = there.get(at.after)
    return [phase for phase in manifest.root.phases if phase.name in names]


def _tables(phases: Iterable[Phase]) -> dict[str, str]:
    """Digests of the tables of shards that phases take samples from; the first phase of each."""
    found: dict[str, str] = {}
    for phase in phases:
        for body in bodies_of(phase):
            found.setdefault(body.table, phase.name)
    return found


def _digests(manifest: Manifest, tables: Iterable[str]) -> pa.Array:
    """Of all files that have a document; those that have none may well be equal."""
    rows = pa.concat_tables(manifest.rows(table, ("sha256", "documents")) for table in tables)
    return rows.filter(pc.greater(rows["documents"], 0))["sha256"].combine_chunks()


def _rows(manifest: Manifest, tables: Iterable[str], only: pa.Array) -> pa.Table:
    """Those rows of all tables whose file is one of `only`."""
    found = []
    for table in tables:
        rows = manifest.rows(table, _WHAT)
        rows = rows.filter(pc.is_in(rows["sha256"], only))
        found.append(rows.append_column("table", pa.array([table] * len(rows), pa.string())))
    return pa.concat_tables(found)


def _meet(one: bytes, other: bytes) -> bool:
    """Whether two bitmaps of a file's rows have one in common; an empty one is all rows."""
    if not (one and other):
        return True
    return bool(int.from_bytes(one, "little") & int.from_bytes(other, "little"))
