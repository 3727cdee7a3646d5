from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from manifests.objects.manifest import Manifest, write_root
from manifests.store import Store, open_store
from manifests.views.diff import PhaseSize, diff
from manifests.views.shard_diff import ShardChange, VolumeChange, shard_changes
from manifests.views.spec_diff import SpecChange, spec_changes
from tests.manifests.command_line import commit_corpus
from tests.manifests.exported import STEP, leaf_table, manifest_of, texts
from tests.manifests.located import LAST_CHANGE, SPEC, publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def test_specs_are_compared_by_the_names_of_their_parts() -> None:
    old = {
        "seed": 1,
        "sources": [{"name": "a", "steps": ["x"], "cap": None}, {"name": "b", "steps": ["y"]}],
        "tokenizer": {"name": "t"},
        "changes": [{"phase": "p", "step": 1}],
    }
    new = {
        "seed": 2,
        "sources": [
            {"name": "c", "steps": ["z"], "cap": None},
            {"name": "a", "steps": ["x", "w"], "cap": "2"},
        ],
        "tokenizer": {"name": "t"},
        "changes": [{"phase": "p", "step": 3}, {"phase": "q", "step": 4}],
    }
    assert spec_changes(old, new) == (
        SpecChange(path="changes.1.step", old="1", new="3"),
        SpecChange(path="changes.2", old=None, new='{"phase": "q", "step": 4}'),
        SpecChange(path="seed", old="1", new="2"),
        SpecChange(path="sources.a.cap", old=None, new="2"),
        SpecChange(path="sources.a.steps", old='["x"]', new='["x", "w"]'),
        SpecChange(path="sources.b", old='{"steps": ["y"]}', new=None),
        SpecChange(path="sources.c", old=None, new='{"steps": ["z"]}'),
    )
    assert spec_changes(new, new) == ()


def test_a_list_that_becomes_empty_loses_each_of_its_parts() -> None:
    assert spec_changes({"remove": [{"source": "a"}]}, {"remove": []}) == (
        SpecChange(path="remove.1", old='{"source": "a"}', new=None),
    )


def two(store: Store) -> tuple[Manifest, Manifest]:
    """Of slices 0 to 7: 0 is gone in the new one, 7 is new, 2 another file, 3 otherwise picked."""
    some = texts(3, 8, 4)
    old = leaf_table(store, "a", some, [[0, 1, 2, 3]] * 3 + [[0, 1]] + [[0, 1, 2, 3]] * 4)
    some = [made if n != 2 else ["other"] * 3 for n, made in enumerate(some)]
    new = leaf_table(store, "a", some, [[0, 1, 2, 3]] * 2 + [[0, 1, 2]] + [[0, 1, 2, 3]] * 5)

    def without(table: pa.Table, number: int) -> pa.Table:
        return table.filter(pc.not_equal(table["slice_index"], number))

    kept = leaf_table(store, "b", texts(4, 2, 4))
    return (
        manifest_of(store, {"a": without(old, 7), "b": kept}, {"a": 8, "b": 8}),
        manifest_of(store, {"a": without(new, 0), "b": kept}, {"a": 8, "b": 8}),
    )


def test_shards_are_told_apart_by_what_became_of_them(store: Store) -> None:
    old, new = two(store)
    (leaf,), volumes = shard_changes(old, new)
    assert (leaf.leaf, leaf.added, leaf.removed, leaf.replaced, leaf.repicked) == ("a", 1, 1, 1, 1)
    told = {
        (one.change, one.step, one.slice_index, bool(one.old), bool(one.new)) for one in leaf.shards
    }
    assert told == {
        ("added", STEP, 7, False, True),
        ("removed", STEP, 0, True, False),
        ("replaced", STEP, 2, True, True),
        ("repicked", STEP, 3, True, True),
    }
    replaced, repicked = leaf.shards[2:]
    assert replaced.old != replaced.new
    assert repicked.old == repicked.new
    documents = new.leaf("a").documents - old.leaf("a").documents
    tokens = new.leaf("a").tokens - old.leaf("a").tokens
    assert (leaf.documents, leaf.tokens) == (documents, tokens)
    assert documents == 4 - 4 - 1 + 2
    change = {"documents": documents, "tokens": tokens - documents}
    assert volumes == (
        VolumeChange(kind="generator", name="rewrite@1", **change),
        VolumeChange(kind="licence", name="CC0-1.0", **change),
    )


def test_the_way_back_is_the_opposite(store: Store) -> None:
    old, new = two(store)
    (there,), _ = shard_changes(old, new)
    (back,), _ = shard_changes(new, old)
    assert (back.documents, back.tokens) == (-there.documents, -there.tokens)
    opposite = {"added": "removed", "removed": "added"}
    assert set(back.shards) == {
        replace(one, change=opposite.get(one.change, one.change), old=one.new, new=one.old)
        for one in there.shards
    }


def test_as_many_shards_are_listed_as_are_asked_for(store: Store) -> None:
    old, new = two(store)
    (whole,), volumes = shard_changes(old, new)
    (cut,), same = shard_changes(old, new, 2)
    assert cut == replace(whole, shards=whole.shards[:2])
    assert volumes == same


def test_a_source_that_only_one_has_is_added_or_removed_whole(store: Store) -> None:
    table = leaf_table(store, "a", texts(3, 3, 4))
    one = manifest_of(store, {"a": table}, {"a": 8})
    both = manifest_of(
        store, {"a": table, "b": leaf_table(store, "b", texts(4, 2, 4))}, {"a": 8, "b": 8}
    )
    (leaf,), _ = shard_changes(one, both)
    assert (leaf.leaf, leaf.added, leaf.removed, leaf.documents) == ("b", 2, 0, 8)
    (leaf,), _ = shard_changes(both, one)
    assert (leaf.leaf, leaf.added, leaf.removed, leaf.documents) == ("b", 0, 2, -8)


def test_a_manifest_is_the_same_as_itself(store: Store) -> None:
    old, new = two(store)
    same = diff(old, Manifest(store, old.digest))
    assert same.equal
    assert (same.spec, same.leaves, same.composition, same.order) == ((), (), (), None)
    assert not any(phase.differs for phase in same.phases)
    assert all(phase.compared for phase in same.phases)
    assert not diff(old, new).equal


def test_phases_are_told_by_their_amounts_and_their_first_difference(
    store: Store, tmp_path: Path
) -> None:
    commit_corpus(store)
    old = publish(store, SPEC, tmp_path)
    new = publish(store, SPEC.split(LAST_CHANGE)[0], tmp_path)
    found = diff(old, new)
    assert [one.path for one in found.spec] == ["changes.2"]
    assert found.leaves == ()
    pretrain, sft = found.phases
    assert (pretrain.name, pretrain.position, pretrain.step) == ("pretrain", 160, 20)
    assert pretrain.old == PhaseSize(steps=30, samples=320, sequence_length=64)
    assert pretrain.new == PhaseSize(steps=30, samples=240, sequence_length=64)
    assert sum(one.old.samples for one in pretrain.amounts if one.old) == 320
    assert sum(one.new.share for one in pretrain.amounts if one.new) == 1
    assert sft.differs


def test_a_phase_of_one_manifest_only_is_not_compared(store: Store, tmp_path: Path) -> None:
    commit_corpus(store)
    head, sft = SPEC.split("[phases.sft]")
    text = head + "[[changes]]" + sft.split("[[changes]]", 1)[1]
    old, new = publish(store, text, tmp_path), publish(store, SPEC, tmp_path)
    pretrain, added = diff(old, new).phases
    assert not pretrain.differs
    assert (added.name, added.old, added.compared, added.differs) == ("sft", None, False, True)
    assert [one.name for one in diff(new, old).phases] == ["pretrain", "sft"]


def test_orders_of_another_function_are_not_compared(store: Store) -> None:
    old, _ = two(store)
    other = Manifest(store, write_root(old.objects, replace(old.root, order="interleave@9")))
    found = diff(old, other)
    assert found.order == (old.root.order, "interleave@9")
    assert [phase.compared for phase in found.phases] == [False]
    assert not found.equal


def test_a_shard_change_names_its_files(store: Store) -> None:
    old, new = two(store)
    (leaf,), _ = shard_changes(old, new)
    assert isinstance(leaf.shards[0], ShardChange)
    files = set(new.rows(new.leaf("a").table.digest, ["sha256"])["sha256"].to_pylist())
    assert {one.new for one in leaf.shards if one.new} <= files
