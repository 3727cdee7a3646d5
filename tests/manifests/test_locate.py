from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.errors import ConfigError, NotInStore
from manifests.layout import data_file
from manifests.locate.batch import Batch, Ranks, batch
from manifests.locate.contents import Contents, body_of
from manifests.locate.where import Asked, RecordPlaces, Standing, where
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.tree import Objects
from manifests.order import rank_of
from manifests.spec.types import Layout
from manifests.store import Store, open_store
from tests.manifests.command_line import commit_corpus
from tests.manifests.exported import STEP, leaf_table, manifest_of, texts
from tests.manifests.located import CODE, GONE, NEVER, SPEC, SYNTHETIC, WEB, pieces, publish

IDS = [made.id for shards in (WEB, SYNTHETIC) for shard in shards for made in shard]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(str(tmp_path_factory.mktemp("root")))
    commit_corpus(store)
    return store


@pytest.fixture(scope="module", params=["document", "packed"])
def contents(
    store: Store, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Contents:
    text = SPEC.replace('layout = "document"', f'layout = "{request.param}"')
    return Contents(publish(store, text, tmp_path_factory.mktemp("spec")))


def batches(contents: Contents, phase: str, ranks: Ranks | None = None) -> Iterator[Batch]:
    found = contents.phase(phase)
    return (batch(contents, found, step, ranks) for step in range(found.steps))


def places(record: RecordPlaces) -> set[tuple[object, ...]]:
    return {
        (record.id, one.phase, one.step, one.index, one.position, one.leaf, one.epoch, one.sample)
        for one in record.occurrences
    }


def only(contents: Contents, name: str, **asked: object) -> RecordPlaces:
    (found,) = where(contents, [name], replace(Asked(), **asked))
    return found


def test_the_manifest_is_as_hard_as_it_should_be(contents: Contents) -> None:
    pretrain, sft = contents.manifest.root.phases
    assert len(pretrain.segments) == 3
    assert len({segment.global_batch for segment in pretrain.segments}) == 2
    assert any(one.head and one.head.holes for one in pretrain.segments[1].supplies)
    assert {one.leaf for one in sft.segments[0].supplies} > {"synthetic/below-55", "web"}
    assert any(one.first_epoch or one.cursor for one in sft.segments[0].supplies)


def test_where_of_all_records_and_at_of_all_steps_agree(contents: Contents) -> None:
    listed = {
        (
            piece.id,
            *(found.phase, found.step, one.index, one.position, one.leaf, one.epoch, one.sample),
        )
        for phase in ("pretrain", "sft")
        for found in batches(contents, phase)
        for one in found.samples
        for piece in one.documents
    }
    records = where(contents, IDS, Asked())
    assert [record.id for record in records] == IDS
    told = [places(record) for record in records]
    assert sum(map(len, told)) == sum(len(record.occurrences) for record in records)
    assert set().union(*told) == listed
    assert len(listed) > 500


@pytest.mark.parametrize("phase", ["pretrain", "sft"])
def test_a_batch_holds_the_pieces_that_a_plain_loop_cuts(contents: Contents, phase: str) -> None:
    found = contents.phase(phase)
    order = contents.manifest.order(phase)
    position = count()
    kept: dict[object, list[list[tuple[str, int, int]]]] = {}
    for one in batches(contents, phase):
        for sample in one.samples:
            assert sample.position == next(position)
            (place,) = order.places(pa.array([sample.position]).to_numpy()).segment.tolist()
            segment = found.segments[place]
            supply = next(s for s in segment.supplies if s.leaf == sample.leaf)
            in_head = bool(supply.head and sample.epoch == supply.head.epoch)
            body = body_of(supply, in_head)
            if body not in kept:
                kept[body] = pieces(contents, body, found.sequence_length)
                assert len(kept[body]) == body.samples
            held = [(piece.id, piece.start, piece.length) for piece in sample.documents]
            assert held == kept[body][sample.sample]
            labels = len(held) if body.layout is Layout.PACKED else 1
            assert sample.tokens == sum(length for _, _, length in held) - labels
    assert next(position) == found.samples


def test_a_removed_record_comes_no_more_after_its_change(contents: Contents) -> None:
    gone = only(contents, GONE)
    assert gone.removed
    assert {one.phase for one in gone.occurrences} == {"pretrain"}
    assert max(one.step for one in gone.occurrences) < 9
    assert [(one.leaf, one.now) for one in gone.holdings] == [("web", False)]
    assert not only(contents, WEB[1][5].id).removed


def test_what_was_never_selected_is_told_from_what_is_not_there(contents: Contents) -> None:
    never, absent, unused = where(contents, [NEVER, "f" * 32, CODE[0][0].id], Asked())
    assert (never.standing, never.removed, never.holdings) == (Standing.LEFT_OUT, True, ())
    assert (absent.standing, absent.removed) == (Standing.ABSENT, False)
    assert unused.standing is Standing.ABSENT
    step, sha256 = never.file.rpartition("/")[::2]
    assert contents.manifest.store.exists(data_file(step, sha256))


def test_what_a_step_has_seen_counts_the_phases_before_it(contents: Contents) -> None:
    name = SYNTHETIC[0][3].id
    whole = only(contents, name)
    assert {one.seen for one in whole.occurrences} == {None}
    by_phase = {
        phase: [one for one in whole.occurrences if one.phase == phase]
        for phase in ("pretrain", "sft")
    }
    steps = contents.phase("sft").steps
    for step in range(0, steps + 1, 5):
        found = only(contents, name, phase="sft", until_step=step)
        so_far = [one for one in by_phase["sft"] if one.step < step]
        assert found.seen == len(by_phase["pretrain"]) + len(so_far)
    first = only(contents, name, phase="pretrain", until_step=0)
    assert (first.standing, first.seen) == (Standing.LATER, 0)
    assert len(first.occurrences) == len(by_phase["pretrain"])
    assert places(only(contents, name, phase="sft")) < places(whole)


def test_rank_and_micro_step_are_those_of_the_order(contents: Contents) -> None:
    found = only(contents, SYNTHETIC[0][3].id, phase="pretrain", data_parallel=2, micro_batch=2)
    sizes = {s.first_step: s.global_batch for s in contents.phase("pretrain").segments}
    for one in found.occurrences:
        size = sizes[max(step for step in sizes if step <= one.step)]
        index = pa.array([one.index]).to_numpy()
        rank, micro_step = rank_of(index, global_batch=size, data_parallel=2, micro_batch=2)
        assert (one.rank, one.micro_step) == (int(rank[0]), int(micro_step[0]))
        mine = Ranks(data_parallel=2, micro_batch=2, rank=one.rank)
        of_rank = batch(contents, contents.phase("pretrain"), one.step, mine)
        assert len(of_rank.samples) == size // 2
        (there,) = [sample for sample in of_rank.samples if sample.index == one.index]
        assert (there.rank, there.micro_step) == (one.rank, one.micro_step)
        assert found.id in [piece.id for piece in there.documents]


def test_the_ranks_of_a_step_share_it_out(contents: Contents) -> None:
    phase = contents.phase("sft")
    whole = batch(contents, phase, 3)
    parts = [
        batch(contents, phase, 3, Ranks(data_parallel=2, micro_batch=1, rank=rank))
        for rank in range(2)
    ]
    seen = [replace(one, rank=None, micro_step=None) for part in parts for one in part.samples]
    assert sorted(seen, key=lambda one: one.index) == list(whole.samples)


def test_a_batch_is_summed_up_by_source(contents: Contents) -> None:
    for found in batches(contents, "sft"):
        assert sum(part.samples for part in found.sources) == found.global_batch
        assert sum(part.share for part in found.sources) == 1
        for part in found.sources:
            mine = [one for one in found.samples if one.leaf.split("/")[0] == part.source]
            assert part.tokens == sum(one.tokens for one in mine)
            assert part.documents == len({p.id for one in mine for p in one.documents})


def test_a_batch_shows_the_beginning_of_its_documents(contents: Contents) -> None:
    known = {
        made.id: made.text for shards in (WEB, SYNTHETIC) for shard in shards for made in shard
    }
    found = batch(contents, contents.phase("pretrain"), 2, characters=9)
    shown = {piece.id: piece.text for one in found.samples for piece in one.documents}
    assert shown == {name: known[name][:9] for name in shown}
    assert not any(
        piece.text for piece in batch(contents, contents.phase("sft"), 0).samples[0].documents
    )


def test_a_step_or_a_phase_that_is_not_there_is_refused(contents: Contents) -> None:
    phase = contents.phase("pretrain")
    for step in (-1, phase.steps):
        with pytest.raises(ConfigError, match=f"step {step}: phase pretrain has steps 0 to "):
            batch(contents, phase, step)
    with pytest.raises(ConfigError, match="has no phase dpo; it has pretrain, sft"):
        contents.phase("dpo")
    with pytest.raises(ConfigError, match="of which phase"):
        where(contents, IDS[:1], Asked(until_step=3))
    with pytest.raises(ConfigError, match="phase sft has"):
        where(contents, IDS[:1], Asked(phase="sft", until_step=10_000))
    with pytest.raises(ConfigError, match="does not divide"):
        where(contents, IDS[:1], Asked(data_parallel=3, micro_batch=1))
    with pytest.raises(ConfigError, match="there are ranks 0 to 1"):
        batch(contents, phase, 0, Ranks(data_parallel=2, micro_batch=1, rank=2))


def test_a_shard_narrows_the_search(contents: Contents) -> None:
    name = WEB[0][0].id
    holding = only(contents, name).holdings[0]
    (found,) = where(contents, [name], Asked(), holding.sha256[:12])
    assert found == only(contents, name)
    other = only(contents, WEB[1][0].id).holdings[0].sha256
    assert where(contents, [name], Asked(), other)[0].standing is Standing.ABSENT
    with pytest.raises(ConfigError, match="no shard of the manifest has such a sha256"):
        where(contents, [name], Asked(), "zz")


def test_files_of_a_step_are_left_alone_once_all_records_are_found(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    rows = leaf_table(store, "a", [["some text"]] * 40)
    contents = Contents(manifest_of(store, {"web": rows}, {"web": 8}, length=4))
    table = contents.manifest.root.leaves[0].table.digest
    first, last = (contents.documents(table, row).ids[0].as_py() for row in (0, 39))
    for sha256 in rows["sha256"].to_pylist()[-4:]:
        store.delete(data_file(STEP, sha256))
    assert only(contents, first).holdings
    with pytest.raises(NotInStore):
        only(contents, last)


def test_the_last_tokens_of_a_leaf_fill_no_window(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    table = leaf_table(store, "a", texts(1, 3, 4))
    manifest = manifest_of(store, {"web": table, "more": table}, {"web": 8, "more": 0}, length=200)
    contents = Contents(manifest)
    documents = contents.documents(manifest.root.leaves[0].table.digest, table.num_rows - 1)
    last = documents.ids[len(documents.ids) - 1].as_py()
    found = only(contents, last)
    assert (found.standing, found.occurrences) == (Standing.NO_WINDOW, ())
    assert [one.leaf for one in found.holdings] == ["more", "web"]


def test_a_record_whose_samples_do_not_come_up_is_unused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    table = leaf_table(store, "a", texts(1, 3, 40))
    manifest = manifest_of(store, {"web": table}, {"web": 8}, length=16)
    contents = Contents(manifest)
    names = contents.documents(manifest.root.leaves[0].table.digest, 0).ids.to_pylist()
    found = where(contents, names, Asked())
    assert {record.standing for record in found} == {Standing.UNUSED, Standing.TRAINED}


def test_another_order_function_is_refused(contents: Contents) -> None:
    manifest = contents.manifest
    root = replace(manifest.root, order="interleave@9")
    digest = write_root(Objects(manifest.store), root)
    with pytest.raises(ConfigError, match="its order is 'interleave@9', and this version computes"):
        Contents(Manifest(manifest.store, digest))
