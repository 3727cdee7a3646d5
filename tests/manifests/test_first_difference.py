from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from manifests.layout import data_file
from manifests.locate import first as first_module
from manifests.locate.contents import Contents, body_of
from manifests.locate.first import first_difference
from manifests.locate.shelf import Names, Shelf
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.ranges import ranges_of
from manifests.packing import PACKING
from manifests.resolve.types import Body
from manifests.select.window_counts import windows_of
from manifests.spec.types import Layout
from manifests.store import Store, open_store
from tests.manifests.command_line import commit_corpus
from tests.manifests.exported import STEP, leaf_table, manifest_of, texts
from tests.manifests.located import GONE, LAST_CHANGE, SPEC, WEB, publish

Held = list[tuple[str, int, int, int]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def held(contents: Contents, name: str) -> list[Held]:
    """What every position of a phase holds, one after the other."""
    phase = contents.phase(name)
    places = contents.manifest.order(name).places(np.arange(phase.samples))
    found = []
    for segment, supply, in_head, sample in zip(
        *(column.tolist() for column in (places.segment, places.supply, places.in_head)),
        places.sample.tolist(),
        strict=True,
    ):
        body = body_of(phase.segments[segment].supplies[supply], in_head)
        spans = contents.spans(body, phase.sequence_length, sample)
        found.append(
            [
                (
                    contents.row(body.table, span.shard).sha256,
                    int(contents.documents(body.table, span.shard).rows[span.document]),
                    span.start,
                    span.length,
                )
                for span in spans
            ]
        )
    return found


def by_walking(one: Contents, other: Contents, name: str) -> int | None:
    old, new = held(one, name), held(other, name)
    for position, (left, right) in enumerate(zip(old, new, strict=False)):
        if left != right:
            return position
    return None if len(old) == len(new) else min(len(old), len(new))


def check(old: Manifest, new: Manifest, name: str = "train") -> int | None:
    """The first difference, which is what walking finds, both ways round."""
    one, other = Contents(old), Contents(new)
    expected = by_walking(one, other, name)
    assert first_difference(one, other, name) == expected
    assert first_difference(other, one, name) == expected
    return expected


EDITS = {
    "nothing": (SPEC, None),
    "the seed": (SPEC.replace("seed = 7", "seed = 8"), 0),
    "no last change": (SPEC.split(LAST_CHANGE)[0], 160),
    "a later first change": (SPEC.replace("at_step = 9", "at_step = 12"), 72),
    "a longer budget": (SPEC.replace('"20K"', '"22K"'), 160),
    "another removal": (SPEC.replace(GONE, WEB[1][5].id), 72),
    "only sft": (SPEC.replace("tokens = 500", "tokens = 510"), None),
}
"""With the first position of pretrain that can differ."""


@pytest.mark.parametrize("edit", EDITS)
def test_edited_specs_differ_where_walking_says(edit: str, store: Store, tmp_path: Path) -> None:
    commit_corpus(store)
    text, earliest = EDITS[edit]
    old, new = publish(store, SPEC, tmp_path), publish(store, text, tmp_path)
    found = check(old, new, "pretrain")
    assert (found is None) == (earliest is None)
    assert found is None or earliest is None or found >= earliest
    check(old, new, "sft")


def split(table: pa.Table, every: int) -> pa.Table:
    """The same rows under keys that cut the table after every so many."""
    keys = [
        f"{row:028x}{'0000' if row % every == every - 1 else '0001'}" for row in range(len(table))
    ]
    return table.set_column(0, table.schema.field("key"), pa.array(keys))


def changed(some: Sequence[Sequence[str]], shard: int) -> list[list[str]]:
    """Other texts of the same lengths in one shard."""
    return [
        ["x" * len(t.encode()) for t in shard_of] if n == shard else list(shard_of)
        for n, shard_of in enumerate(some)
    ]


def of_documents(manifest: Manifest, layout: Layout = Layout.DOCUMENT) -> Manifest:
    """The same with documents that are no stream; quotas as they were."""
    contents, root = Contents(manifest), manifest.root
    phase, made = root.phases[0], []
    supplies = []
    for supply in phase.segments[0].supplies:
        table = contents.table(supply.body.table)
        tokens = [contents.documents(supply.body.table, n).tokens for n in range(len(table))]
        sizes = [windows_of(some, layout, phase.sequence_length) for some in tokens]
        windows = manifest.objects.put_npy(np.array(sizes, dtype=np.int64))
        made.append(windows)
        body = Body(
            table=supply.body.table,
            layout=layout,
            samples=sum(sizes),
            tokens=int(sum(some.sum() for some in tokens)),
            windows=windows.digest,
            packing=PACKING if layout is Layout.PACKED else "",
        )
        supplies.append(replace(supply, body=body))
    segment = replace(phase.segments[0], supplies=tuple(supplies))
    root = replace(root, phases=(replace(phase, segments=(segment,)),), objects=tuple(made))
    return Manifest(manifest.store, write_root(manifest.objects, root))


@pytest.mark.parametrize("every", [1, 3, 100])
@pytest.mark.parametrize("shard", [0, 7])
@pytest.mark.parametrize("documents", [None, Layout.DOCUMENT, Layout.PACKED])
def test_one_shard_replaced_by_one_of_the_same_size(
    every: int, shard: int, documents: Layout | None, store: Store
) -> None:
    some = texts(3, 12, 5)
    tables = [split(leaf_table(store, "a", made), every) for made in (some, changed(some, shard))]
    other = leaf_table(store, "b", texts(4, 3, 5))
    quotas = {"a": 100, "b": 20}
    old, new = (manifest_of(store, {"a": table, "b": other}, quotas) for table in tables)
    assert (len(ranges_of(old.objects, old.leaf("a").table.digest)) > 1) == (every < 100)
    if documents:
        old, new = of_documents(old, documents), of_documents(new, documents)
    assert check(old, new) is not None
    # All but the changed shard (and, where windows run on, its neighbours) is no candidate.
    before = Contents(old)
    bodies = [one.phases[0].segments[0].supplies[0].body for one in (old.root, new.root)]
    names = Names()
    shelves = [Shelf(side, body, 32, names) for side, body in zip((old, new), bodies, strict=True)]
    samples = shelves[0].differing(shelves[1], 1 << 20)
    assert samples is not None
    number = (
        tables[0]["sha256"]
        .to_pylist()
        .index((set(tables[0]["sha256"].to_pylist()) - set(tables[1]["sha256"].to_pylist())).pop())
    )
    assert samples.tolist() == before.windows(bodies[0], 32).samples_of_shard(number).tolist()
    assert shelves[0].differing(shelves[1], len(samples) - 1) is None


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_other_picks_of_the_same_sizes_are_told_by_their_documents(
    most: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows before the first other document of a shard hold the same."""
    monkeypatch.setattr(first_module, "_MOST", most)
    some = [["abc" * 9] * 2 + ["other"] * 2 + ["abc" * 7] * 3 for _ in range(6)]
    some = [[f"{n}{i}{text}" for i, text in enumerate(made)] for n, made in enumerate(some)]
    keep = [[0, 1, 2, 4, 5, 6]] * 6
    tables = [
        leaf_table(store, "a", some, kept) for kept in (keep, [*keep[:5], [0, 1, 3, 4, 5, 6]])
    ]
    for quota in (8, 16, 24, 80):
        old, new = (manifest_of(store, {"a": table}, {"a": quota}, length=8) for table in tables)
        check(old, new)
        assert check(of_documents(old), of_documents(new)) in (*range(quota), None)
        packed = of_documents(old, Layout.PACKED), of_documents(new, Layout.PACKED)
        assert check(*packed) in (*range(quota), None)
        assert check(packed[0], of_documents(new)) in (*range(quota), None)


def test_what_is_only_said_otherwise_is_no_difference(store: Store) -> None:
    table = split(leaf_table(store, "a", texts(3, 12, 5)), 2)
    at = table.schema.get_field_index("lengths")
    lengths = pa.array([[{"bin": 3, "count": 5}]] * len(table), table.schema.field(at).type)
    other = table.set_column(at, table.schema.field(at), lengths)
    old, new = (manifest_of(store, {"a": one}, {"a": 400}) for one in (table, other))
    assert old.leaf("a").table.digest != new.leaf("a").table.digest
    for row in range(len(table)):  # and no shard is needed to tell
        store.delete(data_file(STEP, table["sha256"][row].as_py()))
    assert first_difference(Contents(old), Contents(new), "train") is None


def test_a_shard_that_does_not_come_up_is_no_difference(store: Store) -> None:
    some = texts(3, 12, 5)
    tables = [
        leaf_table(store, "a", made) for made in (some, *(changed(some, n) for n in range(6)))
    ]
    old, *others = (manifest_of(store, {"a": table}, {"a": 8}) for table in tables)
    found = [check(old, other) for other in others]
    assert None in found
    assert any(found)


@pytest.mark.parametrize("documents", [None, Layout.DOCUMENT, Layout.PACKED])
def test_more_shards_and_longer_phases_differ(documents: Layout | None, store: Store) -> None:
    some = texts(3, 12, 5)
    tables = [split(leaf_table(store, "a", made), 4) for made in (some, some[:11])]
    old, new = (manifest_of(store, {"a": table}, {"a": 40}) for table in tables)
    longer = manifest_of(store, {"a": tables[0]}, {"a": 48})
    if documents:
        old, new, longer = (of_documents(one, documents) for one in (old, new, longer))
    assert check(old, new) == 0
    assert check(old, longer) == 40
    if documents is None:
        assert check(old, of_documents(longer)) == 0
    else:
        check(old, of_documents(longer))


def test_other_windows_differ_from_the_start(store: Store) -> None:
    table = leaf_table(store, "a", texts(3, 12, 5))
    old, new = (manifest_of(store, {"a": table}, {"a": 16}, length=n) for n in (16, 32))
    assert first_difference(Contents(old), Contents(new), "train") == 0


@pytest.mark.parametrize("documents", [None, Layout.DOCUMENT, Layout.PACKED])
@pytest.mark.parametrize("every", [1, 3, 100])
def test_a_shelf_finds_the_shards_that_windows_find(
    documents: Layout | None, every: int, store: Store
) -> None:
    table = split(leaf_table(store, "a", texts(5, 14, 3)), every)
    manifest = manifest_of(store, {"a": table}, {"a": 8}, length=16)
    manifest = of_documents(manifest, documents) if documents else manifest
    body = manifest.root.phases[0].segments[0].supplies[0].body
    samples = np.random.default_rng(1).permutation(body.samples)
    shelf = Shelf(manifest, body, 16, Names())
    for found, expected in zip(
        shelf.first(samples), Contents(manifest).windows(body, 16).shards(samples), strict=True
    ):
        assert found.tolist() == expected.tolist()


def test_only_the_ranges_that_are_needed_are_read(store: Store) -> None:
    some = texts(3, 40, 3)
    tables = [split(leaf_table(store, "a", made), 2) for made in (some, changed(some, 7))]
    old, new = (manifest_of(store, {"a": table}, {"a": 80}) for table in tables)
    expected = check(old, new)
    shared = {one.digest for one in ranges_of(old.objects, old.leaf("a").table.digest)} & {
        one.digest for one in ranges_of(new.objects, new.leaf("a").table.digest)
    }
    assert len(shared) == 19
    contents = [Contents(old), Contents(new)]
    position = first_difference(contents[0], contents[1], "train")
    assert position == expected
    for digest in shared:
        store.delete(f"manifests/objects/{digest[:2]}/{digest}.parquet")
    names = Names()
    shelves = [
        Shelf(one, one.root.phases[0].segments[0].supplies[0].body, 32, names) for one in (old, new)
    ]
    assert shelves[0].differing(shelves[1], 1 << 20) is not None
