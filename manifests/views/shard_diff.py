"""Which shards two versions of a leaf do not share; ranges that both have are not read."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from manifests.export.composition import composed
from manifests.objects.manifest import Manifest
from manifests.objects.ranges import Range, ranges_of, read_ranges
from manifests.objects.root import Leaf

COMPOSITIONS = {"generator": "generators", "licence": "licences"}
"""What a difference is told apart by, and its column."""
_COLUMNS = ("key", "step", "slice_index", "sha256", "picked", "documents", "tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChange:
    """One shard."""

    change: str
    """`added`, `removed`, `replaced` by another file, or `repicked`: other rows of the same."""
    step: str
    slice_index: int
    old: str
    """sha256 of the file; empty when it was added."""
    new: str
    """Empty when it was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafChange:
    """A leaf whose shards are not the same."""

    leaf: str
    added: int
    removed: int
    replaced: int
    repicked: int
    documents: int
    """More now, fewer below 0."""
    tokens: int
    """With a token that closes each document."""
    shards: tuple[ShardChange, ...]
    """All there are, or as many as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeChange:
    """More or less of one name in the shards."""

    kind: str
    """`generator` or `licence`."""
    name: str
    documents: int
    tokens: int
    """Of their texts."""


def shard_changes(
    old: Manifest, new: Manifest, most: int | None = None
) -> tuple[tuple[LeafChange, ...], tuple[VolumeChange, ...]]:
    """By leaf, with so many shards of each; and what it comes to over all leaves.

    Raises:
        NotInStore: A table is not there.
        DataError: One is broken.
    """
    before = {leaf.name: leaf for leaf in old.root.leaves}
    after = {leaf.name: leaf for leaf in new.root.leaves}
    leaves = []
    volumes: dict[tuple[str, str], tuple[int, int]] = {}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was and now and was.table.digest == now.table.digest:
            continue
        mine, theirs = _unshared(old, was, new, now)
        leaves.append(_leaf_change(name, was, now, mine, theirs, most))
        _add(volumes, mine, -1)
        _add(volumes, theirs, 1)
    return tuple(leaves), _volume_changes(volumes)


def _unshared(
    old: Manifest, was: Leaf | None, new: Manifest, now: Leaf | None
) -> tuple[pa.Table, pa.Table]:
    """The rows of the ranges that only one of them has."""
    mine = ranges_of(old.objects, was.table.digest) if was else ()
    theirs = ranges_of(new.objects, now.table.digest) if now else ()
    shared = {one.digest for one in mine} & {one.digest for one in theirs}

    def read(manifest: Manifest, ranges: tuple[Range, ...]) -> pa.Table:
        wanted = [one for one in ranges if one.digest not in shared]
        return read_ranges(manifest.objects, wanted, (*_COLUMNS, *COMPOSITIONS.values()))

    return read(old, mine), read(new, theirs)


def _leaf_change(
    name: str,
    was: Leaf | None,
    now: Leaf | None,
    old: pa.Table,
    new: pa.Table,
    most: int | None,
) -> LeafChange:
    there = pc.index_in(new["key"], value_set=old["key"].combine_chunks())
    known = pc.is_valid(there)
    added = new.filter(pc.invert(known))
    removed = old.filter(pc.invert(pc.is_in(old["key"], new["key"].combine_chunks())))
    after, before = new.filter(known), old.take(there.drop_null())
    moved = pc.or_(
        pc.not_equal(before["sha256"], after["sha256"]), pc.not_equal(before["step"], after["step"])
    )
    picks = pc.and_(pc.invert(moved), pc.not_equal(before["picked"], after["picked"]))
    kinds = (
        ("added", None, added),
        ("removed", removed, None),
        ("replaced", before.filter(moved), after.filter(moved)),
        ("repicked", before.filter(picks), after.filter(picks)),
    )
    shards = [one for what, was_, is_ in kinds for one in _listed(what, was_, is_, most)]
    return LeafChange(
        leaf=name,
        added=added.num_rows,
        removed=removed.num_rows,
        replaced=pc.sum(moved, min_count=0).as_py(),
        repicked=pc.sum(picks, min_count=0).as_py(),
        documents=(now.documents if now else 0) - (was.documents if was else 0),
        tokens=(now.tokens if now else 0) - (was.tokens if was else 0),
        shards=tuple(shards[:most]),
    )


def _listed(
    change: str, old: pa.Table | None, new: pa.Table | None, most: int | None
) -> list[ShardChange]:
    shown = new if new is not None else old
    assert shown is not None
    shown = shown.slice(0, most)
    none = [""] * shown.num_rows
    sides = [none if side is None else _files(side, most) for side in (old, new)]
    columns = (shown["step"].to_pylist(), shown["slice_index"].to_pylist(), *sides)
    return [
        ShardChange(change=change, step=step, slice_index=slice_index, old=was, new=now)
        for step, slice_index, was, now in zip(*columns, strict=True)
    ]


def _files(rows: pa.Table, most: int | None) -> list[str]:
    files: list[str] = rows["sha256"].slice(0, most).to_pylist()
    return files


def _add(volumes: dict[tuple[str, str], tuple[int, int]], rows: pa.Table, sign: int) -> None:
    for kind, column in COMPOSITIONS.items():
        for name, volume in composed(rows[column]).items():
            documents, tokens = volumes.get((kind, name), (0, 0))
            volumes[kind, name] = documents + sign * volume.rows, tokens + sign * volume.tokens


def _volume_changes(
    volumes: Mapping[tuple[str, str], tuple[int, int]],
) -> tuple[VolumeChange, ...]:
    return tuple(
        VolumeChange(kind=kind, name=name, documents=documents, tokens=tokens)
        for (kind, name), (documents, tokens) in sorted(volumes.items())
        if documents or tokens
    )
