from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from manifests.documents import Documents, ShardRow, read_documents
from manifests.errors import ConfigError, NotInStore
from manifests.layout import data_file
from manifests.levels.packed import packed
from manifests.objects.ranges import SHARD_ROWS
from manifests.records import Bucket
from manifests.select.overlap import overlaps
from manifests.select.selection import select, useful_tokens
from manifests.select.window_counts import WindowCounts
from manifests.spec.types import Condition, Layout, SourceSpec, Strata
from manifests.store import Store, open_store
from tests.manifests.committed import address, describe
from tests.manifests.selectable import commit_records, expected_ids, ids_of, mixture, record

WEB = [[record(f"w{s}/{i}", tokens=2**i) for i in range(8)] for s in range(3)]
CODE = [
    [
        record(f"c{s}/{i}", bucket=Bucket.CODE, lang="de" if i else "en", scores={"edu": i})
        for i in range(4)
    ]
    for s in range(3)
]


@pytest.fixture
def root(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "root"))
    commit_records(store, WEB, name="web")
    return store


def test_a_mixture_becomes_leaves_by_name(store: Store) -> None:
    commit_records(store, WEB, name="web")
    commit_records(store, CODE, name="code", fill="b")
    told: list[tuple[str, int, int]] = []
    edu = Condition(column="scores.edu", low=2)
    leaves = select(
        store,
        mixture(
            SourceSpec(name="web", steps=("web@1",)),
            SourceSpec(name="code", steps=("*",), where=(edu,), strata=Strata(by="bucket")),
            SourceSpec(name="all", steps=("web", "code")),
        ),
        lambda *about: told.append(about),
    )
    assert [(leaf.name, leaf.source, leaf.stratum) for leaf in leaves] == [
        ("all", "all", ""),
        ("code/code", "code", "code"),
        ("web", "web", ""),
    ]
    everything, code, web = (leaf.rows for leaf in leaves)
    assert ids_of(store, everything) == expected_ids([*WEB, *CODE], lambda made: True)
    assert ids_of(store, code) == expected_ids(CODE, lambda made: made.scores["edu"] >= 2)
    assert ids_of(store, web) == expected_ids(WEB, lambda made: True)
    assert everything["key"].to_pylist() == sorted(everything["key"].to_pylist())
    assert all(leaf.rows.schema.equals(SHARD_ROWS) for leaf in leaves)
    assert (overlaps(everything, code), overlaps(code, web)) == (6, 0)
    assert told == [("code", done, 6) for done in range(1, 7)]


def test_the_same_selection_gives_the_same_rows_again(root: Store) -> None:
    wanted = mixture(
        SourceSpec(name="web", steps=("web",), where=(Condition(column="tokens", low=3),))
    )
    first, again = (select(root, wanted)[0].rows for _ in range(2))
    assert first.equals(again)


def test_an_error_names_the_source(root: Store) -> None:
    describe(root, address("web", "a"), 9)
    for source, message in (
        (SourceSpec(name="web", steps=("wbe",)), "source web: no step fits 'wbe'; near it: web@1"),
        (SourceSpec(name="web", steps=("web",)), "source web: steps/web@1/.* 3 of 9 slices"),
        (
            SourceSpec(
                name="web",
                steps=("web",),
                partial=True,
                where=(Condition(column="lang", any_of=("xx",)),),
            ),
            "source web: no record is left: 24 in its steps, 0 after where lang in xx",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            select(root, mixture(source))


def test_an_unfinished_step_is_used_by_the_source_that_asks_for_it_alone(root: Store) -> None:
    describe(root, address("web", "a"), 9)
    partial = SourceSpec(name="a", steps=("web",), partial=True)
    assert select(root, mixture(partial))[0].rows.num_rows == 3
    with pytest.raises(ConfigError, match=r"source b: .*not complete"):
        select(root, mixture(partial, SourceSpec(name="b", steps=("web",))))


@pytest.mark.parametrize("length", [1, 2, 3, 16, 100, 128, 1000])
@pytest.mark.parametrize("high", [None, 70.0])
def test_documents_make_the_windows_that_they_need(
    root: Store, length: int, high: float | None
) -> None:
    where = (Condition(column="tokens", low=2, high=high),)
    (leaf,) = select(root, mixture(SourceSpec(name="web", steps=("web",), where=where)))
    tokens = [2**i for i in range(1, 8) if high is None or 2**i <= high]
    needed = {
        Layout.DOCUMENT: sum(max(1, -(-count // length)) for count in tokens),
        Layout.PACKED: len(packed(tokens, length)),
    }
    for layout, windows in needed.items():
        counted = WindowCounts(root).of(leaf.rows, (layout, length))
        assert counted.windows.tolist() == [windows] * 3
        assert counted.splits == 3 * sum(count > length for count in tokens)
    assert useful_tokens(leaf.rows) == 3 * sum(tokens)


def test_shards_whose_lengths_say_enough_are_not_read(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    shards = [
        [record("short", tokens=5), record("none", tokens=0)],
        [record("two windows", tokens=1500)],
        [record("one or two", tokens=1030)],
    ]
    commits = commit_records(store, shards, name="web")
    for commit in commits[:2]:
        store.delete(data_file(commit.step, commit.data.sha256))
    rows = select(store, mixture(SourceSpec(name="web", steps=("web",))))[0].rows
    told: list[tuple[int, int]] = []
    cut = (Layout.DOCUMENT, 1024)

    def note(*count: int) -> None:
        told.append(count)

    counted = WindowCounts(store).of(rows, cut, progress=note)
    by_slice = counted.windows[np.argsort(rows["slice_index"].to_numpy())]
    assert by_slice.tolist() == [2, 2, 2]
    assert counted.splits == 2
    assert told == [(1, 1)]
    assert WindowCounts(store).of(rows.slice(0, 0), cut).windows.tolist() == []
    # Packed, whatever fits one window is told, too: only the file of 1,500 tokens is missed.
    few = rows.filter(pc.less(rows["tokens"], 1024))
    assert WindowCounts(store).of(few, (Layout.PACKED, 1024)).windows.tolist() == [1]
    with pytest.raises(NotInStore):
        WindowCounts(store).of(rows, (Layout.PACKED, 1024))


def test_a_shard_is_read_once_for_all_windows_that_a_mixture_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noted(store: Store, row: ShardRow) -> Documents:
        read.append(row.sha256)
        return read_documents(store, row)

    monkeypatch.setattr("manifests.select.window_counts.read_documents", noted)
    store = open_store(str(tmp_path))
    tokens = [700, 300, 450, 90, 1024, 0, 1500, 800]
    (commit,) = commit_records(store, [[record(str(n), tokens=n) for n in tokens]], name="web")
    rows = select(store, mixture(SourceSpec(name="web", steps=("web",))))[0].rows
    cuts = [
        (layout, length) for layout in (Layout.DOCUMENT, Layout.PACKED) for length in (100, 1024)
    ]
    counts = WindowCounts(store)
    counts.of(rows, cuts[0], frozenset(cuts))
    for layout, length in cuts:
        documents = sum(max(1, -(-count // length)) for count in tokens)
        expected = documents if layout is Layout.DOCUMENT else len(packed(tokens, length))
        counted = counts.of(rows, (layout, length))
        assert counted.windows.tolist() == [expected]
        assert counted.splits == sum(count > length for count in tokens)
    assert read == [commit.data.sha256]
    counts.of(rows, (Layout.PACKED, 50))
    assert len(read) == 2
