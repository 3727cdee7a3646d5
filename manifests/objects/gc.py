"""Collection of garbage: what no name, tag or pin leads to, and what no commit names.

As in git, objects that are reachable or young stay, and so does what young ones reach: they may
belong to a manifest that somebody is building. Nothing is locked. Whoever relies on an old object
makes it young first (`Objects.put`, `reach.refresh`), and an object's age is looked at again right
before its delete. What stays open is the one round trip between that look and the delete.

Only what is understood is taken: manifests' objects under their own digests, and data, rejects and
token files of complete steps; never commits, indexes, completions or names. Roots go first, then
tables, so that a kill leaves no manifest whose own objects are gone.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from manifests.errors import NotInStore, ShardCorrupt
from manifests.layout import MANIFEST_OBJECTS, object_file
from manifests.objects.orphans import orphaned_shards
from manifests.objects.pins import pinned
from manifests.objects.ranges import TABLE_SCHEMA
from manifests.objects.reach import at_once, reachable
from manifests.objects.refs import Refs
from manifests.objects.root import SCHEMA
from manifests.objects.tree import GRACE_SECONDS, Objects
from manifests.store import Store

_KEY = re.compile(rf"{MANIFEST_OBJECTS}([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})\.([a-z0-9]+)")


class Garbage(NamedTuple):
    """An object that nothing needs."""

    key: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPlan:
    """What a collection would take."""

    cutoff: float
    """Seconds since 1970; what was written after is young."""
    kept: int
    """Objects of manifests that stay."""
    roots: tuple[Garbage, ...]
    tables: tuple[Garbage, ...]
    parts: tuple[Garbage, ...]
    """Ranges, arrays, specs, and what cannot be read."""
    shards: tuple[Garbage, ...]
    """Data, rejects and token files of steps."""

    @property
    def garbage(self) -> tuple[Garbage, ...]:
        """Everything that would go, in that order."""
        return (*self.roots, *self.tables, *self.parts, *self.shards)

    @property
    def bytes(self) -> int:
        """Of everything that would go."""
        return sum(found.bytes for found in self.garbage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection took."""

    deleted: int
    bytes: int
    spared: int
    """Objects of the plan that are young or gone by now."""


def plan_gc(store: Store, now: float, grace_seconds: float = GRACE_SECONDS) -> GcPlan:
    """What is garbage now (seconds since 1970); changes nothing.

    A shorter grace than the usual one is safe only while nobody builds, publishes, tags or pins.

    Raises:
        DataError: A name, a pin, a root or table that one leads to, a run or a commit is broken or
            missing: then it is not known what is garbage.
    """
    objects, cutoff = Objects(store), now - grace_seconds
    # Listed before the names are read: what somebody builds from now on is no candidate.
    there = {key for key in store.list(MANIFEST_OBJECTS) if _KEY.fullmatch(key)}
    manifests, specs = _named(store)
    reached = reachable(objects, manifests)
    spare = _looked_at(objects, sorted(there - reached.keys - specs))
    young = [found for found in spare if found.modified > cutoff]
    if any(found.kind is not Kind.PART for found in young):
        new = {found.digest for found in young if found.kind is Kind.ROOT}
        tables = [found.digest for found in young if found.kind is Kind.TABLE]
        reached = reachable(objects, manifests | new, tables)
    stay = reached.keys | {found.key for found in young}
    garbage = [found for found in spare if found.key not in stay]
    by_kind = {kind: [found for found in garbage if found.kind is kind] for kind in Kind}
    return GcPlan(
        cutoff=cutoff,
        kept=len(there) - len(garbage),
        roots=_listed(by_kind[Kind.ROOT]),
        tables=_listed(by_kind[Kind.TABLE]),
        parts=_listed(by_kind[Kind.PART]),
        shards=_old_shards(store, orphaned_shards(objects, reached.ranges), cutoff),
    )


def collect(store: Store, plan: GcPlan) -> Collected:
    """Delete what a plan names, but for what somebody made young since. After a failure or a kill
    what is left is as good as before, and the next collection takes the rest.
    """
    taken: list[Garbage] = []
    for stage in (plan.roots, plan.tables, plan.parts, plan.shards):
        gone = at_once(lambda found: _delete(store, found.key, plan.cutoff), stage)
        taken += [found for found, deleted in zip(stage, gone, strict=True) if deleted]
    return Collected(
        deleted=len(taken),
        bytes=sum(found.bytes for found in taken),
        spared=len(plan.garbage) - len(taken),
    )


class Kind(Enum):
    """What an object of manifests is, as far as its deletion goes."""

    ROOT = SCHEMA
    TABLE = TABLE_SCHEMA
    PART = ""


class _Spare(NamedTuple):
    """An object that nothing named leads to."""

    key: str
    digest: str
    kind: Kind
    bytes: int
    modified: float


def _named(store: Store) -> tuple[set[str], set[str]]:
    """Manifests that names, tags and pins point at, and keys of the specs in the names' logs."""
    entries = Refs(store).entries()
    manifests = {entry.digest for entry in entries if entry.digest} | set(pinned(store))
    specs = {object_file(entry.spec.digest, entry.spec.media) for entry in entries if entry.spec}
    return manifests, specs


def _looked_at(objects: Objects, keys: list[str]) -> list[_Spare]:
    return [found for found in at_once(lambda key: _look(objects, key), keys) if found]


def _look(objects: Objects, key: str) -> _Spare | None:
    """An object's size, age and kind; None when it is gone."""
    matched = _KEY.fullmatch(key)
    assert matched
    digest, media = matched[2], matched[3]
    try:
        info = objects.store.info(key)
        kind = _kind(objects, digest) if media == "json" else Kind.PART
    except NotInStore:
        return None
    return _Spare(key, digest, kind, info.bytes, info.modified)


def _kind(objects: Objects, digest: str) -> Kind:
    try:
        return Kind(json.loads(objects.get_by_digest(digest, "json"))["schema"])
    except (ShardCorrupt, ValueError, TypeError, LookupError):  # broken, or a spec
        return Kind.PART


def _old_shards(store: Store, keys: list[str], cutoff: float) -> tuple[Garbage, ...]:
    """Of these shards, those that are not young."""

    def look(key: str) -> Garbage | None:
        with suppress(NotInStore):
            info = store.info(key)
            return Garbage(key, info.bytes) if info.modified <= cutoff else None
        return None

    return tuple(found for found in at_once(look, keys) if found)


def _delete(store: Store, key: str, cutoff: float) -> bool:
    """Whether it was there, still old, and is gone now."""
    try:
        if store.info(key).modified > cutoff:
            return False
    except NotInStore:
        return False
    store.delete(key)
    return True


def _listed(found: list[_Spare]) -> tuple[Garbage, ...]:
    return tuple(Garbage(spare.key, spare.bytes) for spare in found)
