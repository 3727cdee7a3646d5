import secrets
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from manifests.commits import read_commits
from manifests.errors import DataError, NotInStore
from manifests.fingerprint import canonical_json
from manifests.layout import (
    commit_file,
    commits_prefix,
    data_file,
    object_file,
    rejects_file,
    tokens_file,
)
from manifests.objects.gc import collect, plan_gc
from manifests.objects.manifest import read_root, write_root
from manifests.objects.pins import pin, unpin
from manifests.objects.ranges import SHARD_ROWS, read_table
from manifests.objects.reach import reachable
from manifests.objects.refs import Refs
from manifests.objects.root import Descriptor
from manifests.objects.tree import GRACE_SECONDS, Objects
from manifests.store import Store, open_store
from manifests.stores.memory import MemoryStore
from tests.manifests.committed import SOURCE, STEP, commit_two_steps
from tests.manifests.tables_of_shards import (
    LATER,
    Clock,
    shard_row,
    shard_rows,
    small_manifest,
    small_root,
)
from tests.manifests.tokened import END, SPEC, mixed, texts, token_step, write_token_file
from tests.manifests.verified import built

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def memory() -> Store:
    return open_store(f"memory://{secrets.token_hex(6)}")


def publish(store: Store, digest: str, name: str = "mix", spec: Descriptor | None = None) -> None:
    Refs(store).publish(name, digest, message="", author="", at="", spec=spec)


def tag(store: Store, digest: str, name: str = "prod") -> None:
    Refs(store).tag("mix", name, digest, author="", at="")


def collected_later(store: Store) -> set[str]:
    """What a collection in a month takes."""
    before = set(store.list(""))
    plan = plan_gc(store, time.time() + LATER)
    done = collect(store, plan)
    gone = before - set(store.list(""))
    assert {found.key for found in plan.garbage} == gone
    assert (done.deleted, done.bytes, done.spared) == (len(gone), plan.bytes, 0)
    return gone


def keys_of(store: Store, *manifests: str) -> set[str]:
    return reachable(Objects(store), manifests).keys


def read_whole(store: Store, digest: str) -> None:
    """Read everything of a manifest, and of its parents."""
    objects = Objects(store)
    root = read_root(objects, digest)
    for leaf in root.leaves:
        assert read_table(objects, leaf.table.digest).num_rows == leaf.shards
    for part in (root.spec, *root.objects, *([root.removed] if root.removed else [])):
        objects.get(part)
    for parent in root.parents:
        read_whole(store, parent)


def test_what_names_tags_and_pins_lead_to_stays_and_the_rest_goes(store: Store) -> None:
    objects = Objects(store)
    versions, tagged, pinned_one, lost = (small_manifest(objects, number) for number in range(4))
    newest = small_manifest(objects, 4)
    spec = objects.put(b"# as written", "toml")
    publish(store, versions, spec=spec)
    publish(store, newest)
    tag(store, tagged)
    pin(store, pinned_one, "run-7", "monday")
    of_lost = keys_of(store, lost)
    assert collected_later(store) == of_lost
    for digest in (versions, newest, tagged, pinned_one):
        read_whole(store, digest)
    assert objects.get(spec) == b"# as written"
    Refs(store).untag("mix", "prod", author="", at="")
    unpin(store, pinned_one, "run-7")
    of_both = keys_of(store, tagged, pinned_one)
    assert collected_later(store) == of_both - keys_of(store, versions, newest)
    assert collected_later(store) == set()


def test_everything_that_a_root_names_stays(memory: Store) -> None:
    objects = Objects(memory)
    earlier = small_root(objects, shard_rows([7]))
    root = replace(
        small_root(objects, shard_rows(range(5))),
        objects=(objects.put(b"windows", "npy"), earlier.leaves[0].table),
        removed=objects.put(b"ids", "parquet"),
        parents=(write_root(objects, earlier),),
    )
    publish(memory, write_root(objects, root))
    assert collected_later(memory) == set()


def test_parents_stay_and_theirs_too(memory: Store) -> None:
    objects = Objects(memory)
    first = small_manifest(objects, 1)
    second = small_manifest(objects, 2, [first])
    third = small_manifest(objects, 3, [second, first])
    publish(memory, third)
    assert collected_later(memory) == set()
    read_whole(memory, third)


def test_a_range_that_a_kept_table_shares_stays(memory: Store) -> None:
    objects = Objects(memory)
    kept = [shard_row(0, key="0" * 32), shard_row(1, key="1" * 32)]
    lost = [*kept[:1], shard_row(2, key="2" * 32)]
    a, b = (pa.Table.from_pylist(rows, schema=SHARD_ROWS) for rows in (kept, lost))
    publish(memory, write_root(objects, small_root(objects, a)))
    gone = keys_of(memory, write_root(objects, small_root(objects, b, "lost")))
    gone -= keys_of(memory, Refs(memory).resolve("mix").digest)
    assert sorted(key.rpartition(".")[2] for key in gone) == ["json", "json", "json", "parquet"]
    assert collected_later(memory) == gone


def test_what_is_young_stays_with_what_it_reaches(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    objects = Objects(memory)
    old = small_root(objects, shard_rows(range(3)))
    garbage = small_manifest(objects, 9)
    clock.wait(GRACE_SECONDS - 1)
    assert plan_gc(memory, clock.now).garbage == ()
    rebased = write_root(objects, replace(old, name="rebased"))  # its parts are not put again
    clock.wait(2)
    plan = plan_gc(memory, clock.now)
    assert {found.key for found in plan.garbage} == keys_of(memory, garbage)
    assert plan.kept == len(keys_of(memory, rebased))
    collect(memory, plan)
    publish(memory, rebased)
    read_whole(memory, rebased)


def test_a_young_table_keeps_its_ranges(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    objects = Objects(memory)
    root = small_root(objects, shard_rows(range(3)))
    clock.wait(GRACE_SECONDS + 1)
    objects.refresh(root.leaves[0].table.digest, "json")
    plan = plan_gc(memory, clock.now)
    assert [found.key for found in plan.garbage] == [object_file(root.spec.digest, "json")]


def test_what_became_young_between_plan_and_collection_is_spared(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    objects = Objects(memory)
    a, b, c = (small_manifest(objects, number) for number in range(3))
    clock.wait(2 * GRACE_SECONDS)
    plan = plan_gc(memory, clock.now)
    assert len(plan.roots) == len(plan.tables) == 3
    of_two, of_third = keys_of(memory, a, b), keys_of(memory, c)
    publish(memory, a)
    assert small_manifest(objects, 1) == b, "built again, not yet published"
    done = collect(memory, plan)
    assert (done.deleted, done.spared) == (len(of_third - of_two), len(of_two))
    publish(memory, b)
    for digest in (a, b):
        read_whole(memory, digest)


def test_what_was_collected_is_refused_by_name_and_can_be_built_again(memory: Store) -> None:
    a = small_manifest(Objects(memory))
    collected_later(memory)
    with pytest.raises(NotInStore):
        publish(memory, a)
    assert small_manifest(Objects(memory)) == a
    publish(memory, a)
    read_whole(memory, a)


def test_what_it_does_not_know_it_never_takes(store: Store) -> None:
    objects = Objects(store)
    a = small_manifest(objects)
    unknown = [
        "manifests/objects/readme.txt",
        "manifests/objects/ab/" + "cd" * 32 + ".json",
        "manifests/objects/ab/" + "ab" * 31 + ".json",
        "manifests/objects/ab/ab/" + "ab" * 32 + ".json",
        "manifests/signatures/" + a + "/key.json",
        "manifests/other/thing",
        "tokenizers/" + "0" * 64 + ".json",
        "inventories/" + "0" * 64 + ".json",
        "steps/x@1/0/what.bin",
        "probe/x",
    ]
    for key in unknown:
        store.put(key, b"x")
    collected_later(store)
    assert set(store.list("")) == set(unknown)


@pytest.mark.parametrize("breakage", ["gone", "flipped", "table gone", "table flipped", "parent"])
def test_a_broken_root_stops_it_and_nothing_is_deleted(memory: Store, breakage: str) -> None:
    objects = Objects(memory)
    parent = small_manifest(objects, 1)
    root = replace(small_root(objects, shard_rows([2])), parents=(parent,))
    publish(memory, write_root(objects, root))
    small_manifest(objects, 3)
    broken = {"table": root.leaves[0].table.digest, "parent": parent}
    digest = broken.get(breakage.split()[0], Refs(memory).resolve("mix").digest)
    if breakage.endswith("flipped"):
        memory.put(object_file(digest, "json"), b"{}")
    else:
        memory.delete(object_file(digest, "json"))
    with pytest.raises(DataError, match=digest[:12]):
        plan_gc(memory, time.time() + LATER)


def test_broken_garbage_is_garbage(memory: Store) -> None:
    kept = small_manifest(Objects(memory), 1)
    publish(memory, kept)
    lost = small_manifest(Objects(memory), 2)
    of_lost = keys_of(memory, lost)
    memory.put(object_file(lost, "json"), b"half")
    assert collected_later(memory) == of_lost
    read_whole(memory, kept)


class DiesAfter(MemoryStore):
    """A store that lets so many deletes pass and then fails."""

    left = 0

    def delete(self, key: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError("killed")
        super().delete(key)


def test_however_far_it_came_what_is_left_is_whole_and_the_next_one_ends_it() -> None:
    for deletes in range(100):
        store = DiesAfter(secrets.token_hex(6))
        objects = Objects(store)
        kept, lost = small_manifest(objects, 0), [small_manifest(objects, n) for n in (1, 2, 3)]
        publish(store, kept)
        plan = plan_gc(store, time.time() + LATER)
        store.left = deletes
        if deletes >= len(plan.garbage):
            break
        with pytest.raises(OSError, match="killed"):
            collect(store, plan)
        for digest in (kept, *lost):
            if store.exists(object_file(digest, "json")):
                read_whole(store, digest)
        assert store.exists(object_file(kept, "json"))
        store.left = 100
        collected_later(store)
        assert set(store.list("manifests/objects/")) == keys_of(store, kept)
    assert deletes == 12, "three roots, tables, ranges and specs"


COLLECTOR = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from manifests.objects.gc import collect, plan_gc
from manifests.store import open_store
store = open_store(sys.argv[2])
plan = plan_gc(store, time.time() + 30 * 86400)
delete, left = os.unlink, int(sys.argv[3])
def dying(path):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    delete(path)
os.unlink = dying
collect(store, plan)
"""


@pytest.mark.parametrize("deletes", [0, 1, 5, 9])
def test_a_killed_collection_leaves_every_needed_thing_readable(
    tmp_path: Path, deletes: int
) -> None:
    store = open_store(str(tmp_path))
    objects = Objects(store)
    kept, lost = small_manifest(objects, 0), [small_manifest(objects, n) for n in (1, 2, 3, 4)]
    publish(store, kept)
    before = len(list(store.list("")))
    command = [sys.executable, "-IBc", COLLECTOR, str(REPOSITORY), str(tmp_path), str(deletes)]
    assert subprocess.run(command, timeout=60).returncode == -9
    assert before - len(list(store.list(""))) <= deletes, (
        "other threads may not have come to theirs"
    )
    for digest in (kept, *lost):
        if store.exists(object_file(digest, "json")):
            read_whole(store, digest)
    collected_later(store)
    assert set(store.list("manifests/objects/")) == keys_of(store, kept)


def plan_run(store: Store, name: str, *steps: tuple[str, int]) -> None:
    noted = [{"address": step, "inputs": [], "slices": n, "kind": "Map"} for step, n in steps]
    run = {"run": name, "recipe": "r", "arguments": {}, "steps": noted}
    store.put(f"runs/{name}.json", canonical_json(run))


def orphans_of(store: Store, step: str) -> set[str]:
    keys = {data_file(step, "0" * 64), data_file(step, "1" * 64), rejects_file(step, "2" * 64)}
    for key in keys:
        store.put(key, b"left by a killed task")
    return keys


def test_shards_that_no_commit_names_go_once_all_runs_of_their_step_are_complete(
    store: Store,
) -> None:
    commit_two_steps(store)
    plan_run(store, "one", (SOURCE, 3), (STEP, 3))
    store.put(f"{STEP}/data/notes.txt", b"not ours")
    store.put(f"{STEP}/index.parquet", b"an index")
    store.put(f"{STEP}/completions/t/0.arrow", b"answers")
    there = set(store.list(""))
    orphans = orphans_of(store, STEP) | orphans_of(store, SOURCE)
    assert collected_later(store) == orphans
    assert set(store.list("")) == there
    for step in (SOURCE, STEP):
        for commit in read_commits(store, step):
            assert store.exists(data_file(step, commit.data.sha256))


@pytest.mark.parametrize("runs", ["none", "more slices", "a step not begun", "a commit gone"])
def test_steps_of_an_open_run_or_of_none_are_left_alone(memory: Store, runs: str) -> None:
    commits = commit_two_steps(memory)
    orphans_of(memory, STEP)
    source = orphans_of(memory, SOURCE)
    match runs:
        case "more slices":
            plan_run(memory, "one", (SOURCE, 3), (STEP, 3))
            plan_run(memory, "two", (SOURCE, 3), (STEP, 4))
        case "a step not begun":
            plan_run(memory, "one", (SOURCE, 3), (STEP, 3))
            plan_run(memory, "two", (SOURCE, 3), (STEP, 3), ("steps/next@1/0", 3))
        case "a commit gone":
            plan_run(memory, "one", (SOURCE, 3), (STEP, 3))
            memory.delete(commit_file(STEP, commits[0].task))
    assert collected_later(memory) == set()
    plan_run(memory, "three", (SOURCE, 3))
    assert collected_later(memory) == (source if runs == "none" else set())


def test_young_orphans_stay(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    commit_two_steps(memory)
    plan_run(memory, "one", (SOURCE, 3), (STEP, 3))
    orphans = orphans_of(memory, STEP)
    clock.wait(GRACE_SECONDS - 1)
    assert plan_gc(memory, clock.now).shards == ()
    clock.wait(2)
    plan = plan_gc(memory, clock.now)
    assert {found.key for found in plan.shards} == orphans
    again = sorted(orphans)[0]
    memory.put(again, b"a zombie wrote it again")
    assert collect(memory, plan).spared == 1
    assert memory.exists(again)


def test_a_shard_that_a_kept_manifest_names_stays_without_its_commit(memory: Store) -> None:
    commits = commit_two_steps(memory)
    plan_run(memory, "one", (SOURCE, 3), (STEP, 3))
    orphans = orphans_of(memory, STEP)
    rows = [shard_row(0, sha256="0" * 64), shard_row(1, sha256=commits[0].data.sha256)]
    root = small_root(Objects(memory), pa.Table.from_pylist(rows, schema=SHARD_ROWS))
    digest = write_root(Objects(memory), root)
    publish(memory, digest)
    assert collected_later(memory) == orphans - {data_file(STEP, "0" * 64)}


def test_token_files_that_no_commit_names_go_and_no_others(store: Store) -> None:
    step = token_step(store, "made_tokens", mixed("a", 6), texts("b", 3), files=2)
    plan_run(store, "one", (step, 2))
    there = set(store.list(""))
    spare = write_token_file(store, step, np.array([1, 2, END]))
    assert collected_later(store) == {tokens_file(step, spare.sha256)}
    assert set(store.list("")) == there


def test_token_files_of_a_shard_that_a_kept_manifest_names_stay(store: Store) -> None:
    step = token_step(store, "made_tokens", mixed("a", 6))
    (old,) = read_commits(store, step)
    publish(store, built(store, SPEC.format(step="made_tokens@1")))
    store.delete(commit_file(step, old.task))  # made again, otherwise, as by another code
    token_step(store, "made_tokens", mixed("b", 6))
    plan_run(store, "one", (step, 1))
    write_token_file(store, step, np.array([1, 2, END]))
    assert len(collected_later(store)) == 1
    assert store.exists(data_file(step, old.data.sha256))
    assert all(store.exists(tokens_file(step, one.sha256)) for one in old.tokens)


@pytest.mark.parametrize("broken", ["run", "commit"])
def test_a_broken_run_or_commit_stops_it(memory: Store, broken: str) -> None:
    commit_two_steps(memory)
    plan_run(memory, "one", (SOURCE, 3), (STEP, 3))
    orphans_of(memory, STEP)
    key = "runs/one.json" if broken == "run" else next(memory.list(commits_prefix(STEP)))
    memory.put(key, b"{}")
    with pytest.raises(DataError, match="not"):
        plan_gc(memory, time.time() + LATER)
