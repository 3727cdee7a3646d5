"""Any order of builds, names, tags, pins, collections and time: nothing that is needed is lost."""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import NotInStore
from manifests.layout import object_file
from manifests.objects.gc import GcPlan, collect, plan_gc
from manifests.objects.manifest import read_root, write_root
from manifests.objects.pins import pin, pinned, unpin
from manifests.objects.refs import Refs
from manifests.objects.root import Root
from manifests.objects.tree import GRACE_SECONDS, Objects
from manifests.store import open_store
from tests.manifests.tables_of_shards import shard_rows, small_root

WAITS = (1.0, GRACE_SECONDS * 0.45, GRACE_SECONDS * 0.6, GRACE_SECONDS * 1.1)
ACTS = (
    *("begin", "end", "rebase", "publish", "tag", "pin", "let_go", "plan", "collect"),
    *("collect_at_once", "collect_beside_a_pin", "collect_beside_a_rebase"),
    *("collect_beside_a_build", "wait", "wait"),
)
"""A build and a collection are two acts each, between which others come."""
SCRIPTS = st.lists(
    st.tuples(
        st.sampled_from(ACTS),
        st.integers(0, 3),
    ),
    min_size=10,
    max_size=40,
)


class World:
    """A store under the hands of several people. Manifests share ranges and specs."""

    def __init__(self) -> None:
        self.now = time.time()
        self.store = open_store(f"memory://{secrets.token_hex(6)}")
        self.objects = Objects(self.store)
        self.refs = Refs(self.store)
        self.built: list[str] = []
        self.building: tuple[Root, float] | None = None
        self.planned: GcPlan | None = None
        self.deleted = 0

    def clock(self) -> float:
        return self.now

    def begin(self, number: int) -> None:
        root = small_root(self.objects, shard_rows(range(number % 2 + 1)), f"mix-{number % 2}")
        self.building = root, self.now

    def end(self, number: int) -> None:
        if self.building is None:
            self.begin(number)
        elif self.now - self.building[1] < GRACE_SECONDS / 2:
            self.built.append(write_root(self.objects, self.building[0]))
            self.building = None
            self.whole(self.built[-1:])

    def rebase(self, number: int) -> None:
        """A root that takes over another's objects by name alone; it may come too late for them."""
        with suppress(NotInStore):
            parent = self.some(number)
            earlier = read_root(self.objects, parent)
            fresh = small_root(self.objects, shard_rows([number]), "rebased")
            taken = tuple(leaf.table for leaf in earlier.leaves)
            root = replace(fresh, objects=taken, parents=(parent,))
            self.built.append(write_root(self.objects, root))

    def publish(self, number: int) -> None:
        name = "ab"[number % 2]
        said = {"message": "", "author": "", "at": ""}
        self.point(lambda digest: self.refs.publish(name, digest, spec=None, **said), number)

    def tag(self, number: int) -> None:
        if names := self.refs.names():
            said = {"author": "", "at": ""}
            self.point(lambda digest: self.refs.tag(names[0], "prod", digest, **said), number)

    def pin(self, number: int) -> None:
        self.point(lambda digest: pin(self.store, digest, "run", ""), number)

    def point(self, at: Callable[[str], object], number: int) -> None:
        digest = self.some(number)
        needed = digest in self.needed()
        try:
            at(digest)
        except NotInStore:
            assert not needed, "what is needed is there"

    def let_go(self, number: int) -> None:
        for name in self.refs.names():
            if self.refs.tags(name):
                self.refs.untag(name, "prod", author="", at="")
        unpin(self.store, self.some(number), "run")

    def wait(self, number: int) -> None:
        self.now += WAITS[number % len(WAITS)]

    def plan(self, _: int) -> None:
        self.planned = plan_gc(self.store, self.now)

    def collect(self, _: int) -> None:
        if self.planned:
            self.deleted += collect(self.store, self.planned).deleted

    def collect_at_once(self, _: int) -> None:
        whole = [digest for digest in set(self.built) if self.is_whole(digest)]
        self.deleted += collect(self.store, plan_gc(self.store, self.now)).deleted
        for digest in whole:
            assert self.is_whole(digest) or not self.is_there(digest), "whole or not at all"
        left = set(self.store.list("manifests/objects/"))
        old = self.now - GRACE_SECONDS
        if all(self.store.info(key).modified <= old for key in left):
            assert left == self.keys(self.needed()), "all garbage is gone"

    def collect_beside_a_pin(self, number: int) -> None:
        self.wait(3)
        self.plan(0)
        self.pin(number)
        self.collect(0)

    def collect_beside_a_build(self, number: int) -> None:
        self.wait(3)
        self.begin(number)
        self.collect_at_once(0)
        self.end(number)

    def collect_beside_a_rebase(self, number: int) -> None:
        self.wait(3)
        self.rebase(number)
        self.collect_at_once(0)

    def some(self, number: int) -> str:
        """One of the manifests that were built, gone or not; the first act builds one."""
        if not self.built:
            root = small_root(self.objects, shard_rows([number]), "first")
            self.built.append(write_root(self.objects, root))
        return self.built[-1 - number % len(self.built)]

    def needed(self) -> list[str]:
        entries = [entry.digest for entry in self.refs.entries() if entry.digest]
        return [*entries, *pinned(self.store)]

    def whole(self, manifests: Sequence[str]) -> None:
        self.keys(manifests)

    def is_whole(self, digest: str) -> bool:
        try:
            self.keys([digest])
        except NotInStore:
            return False
        return True

    def is_there(self, digest: str) -> bool:
        return self.store.exists(object_file(digest, "json"))

    def keys(self, manifests: Iterable[str]) -> set[str]:
        """Keys of all that these manifests need, all of it read; known by its looks alone."""
        found: set[str] = set()
        waiting = {(digest, "json") for digest in manifests}
        while waiting:
            digest, media = waiting.pop()
            key = object_file(digest, media)
            found.add(key)
            data = self.objects.get_by_digest(digest, media)
            named = named_in(json.loads(data)) if media == "json" else set()
            waiting |= {part for part in named if object_file(*part) not in found}
        return found


def named_in(value: Any) -> set[tuple[str, str]]:
    """Digests in JSON: of descriptors, of ranges (which name no medium) and of parents."""
    if isinstance(value, list):
        return set().union(*map(named_in, value))
    if not isinstance(value, dict):
        return set()
    found = named_in(list(value.values()))
    found |= {(parent, "json") for parent in value.get("parents", ())}
    return found | (
        {(value["digest"], value.get("media", "parquet"))} if "digest" in value else set()
    )


@settings(max_examples=100, deadline=None)
@given(SCRIPTS)
def test_nothing_that_is_needed_is_ever_lost(script: list[tuple[str, int]]) -> None:
    world = World()
    with mock.patch("time.time", world.clock):
        for act, number in script:
            getattr(world, act)(number)
            world.whole(world.needed())
