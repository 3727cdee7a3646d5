import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from manifests.locate.batch import batch as batch_at
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.store import Store, open_store
from tests.manifests.tokened import END, Made, token_step
from tests.trainer import read_slowly
from tests.trainer.read_slowly import GONE, PHASES, Slowly, demo
from trainer.data import shards as shards_module
from trainer.data.batch import Batch
from trainer.data.samples import PhaseData

Demo = tuple[Manifest, dict[str, Made]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    return demo(open_store(str(folder / "root")), folder)


def same_rows(batch: Batch, slowly: Slowly) -> Counter[str]:
    """Compare all; what came up."""
    seen: Counter[str] = Counter()
    rows = list(slowly.rows())
    widest = max(len(row["cu_seqlens"]) for row in rows)
    for n, row in enumerate(rows):
        for name in ("tokens", "labels", "loss_mask", "position_ids", "chosen", "rejected"):
            np.testing.assert_array_equal(getattr(batch, name)[n], row[name], f"{name} at {n}")
        length = row["cu_seqlens"][-1]
        filled = [*row["cu_seqlens"], *[length] * (widest - len(row["cu_seqlens"]))]
        assert batch.cu_seqlens[n].tolist() == filled
        assert batch.max_seqlen[n] == row["max_seqlen"]
        assert batch.positions[n] == row["position"]
        seen["segments"] += len(row["cu_seqlens"]) > 2
        seen["padded"] += row["labels"][-2:] == [END, END]
        seen["pair"] += row["chosen"] != [0, 0]
        seen["unlearned"] += 0.0 in row["loss_mask"]
    return seen


@pytest.mark.parametrize(
    ("phase", "hard"),
    [
        ("pretrain", {"segments", "unlearned"}),
        ("midtrain", {"unlearned"}),
        ("sft", {"segments", "padded", "unlearned"}),
        ("talked", {"segments", "unlearned"}),
        ("dpo", {"segments", "padded", "pair", "unlearned"}),
        ("small", {"segments", "unlearned"}),
        ("read", {"segments", "padded", "pair", "unlearned"}),
    ],
)
def test_a_batch_holds_what_loops_over_all_documents_find(
    made: Demo, phase: str, hard: set[str], tmp_path: Path
) -> None:
    data = PhaseData(made[0], phase, tmp_path)
    seen = same_rows(data.batch(np.arange(data.samples)), Slowly(made[0], phase, made[1]))
    assert {name for name, count in seen.items() if count} == hard


def test_the_samples_are_of_shards_that_cross_of_bitmaps_of_heads_and_of_all_segments(
    made: Demo, tmp_path: Path
) -> None:
    manifest, documents = made
    phase = manifest.phase("pretrain")
    places = manifest.order("pretrain").places(np.arange(phase.samples))
    assert len(phase.segments) == 3
    assert places.in_head.any()
    assert any(s.head and s.head.holes for one in phase.segments for s in one.supplies)
    held = [
        {one.name for span in row["window"] for one in span}
        for row in Slowly(manifest, "pretrain", documents).rows()
    ]
    names = [{documents[name].name for name in window} for window in held]
    parts = [{name.rpartition("/")[0] for name in window} for window in names]
    assert any(len(part) > 1 for part in parts)
    first = phase.segments[1].start
    assert any(GONE in window for window in names[:first])
    assert not any(GONE in window for window in names[first:])
    assert not any(documents[name].lang == "de" for window in held for name in window)
    data = PhaseData(manifest, "pretrain", tmp_path)
    assert {len(data.shards.row(n).picked) > 0 for n in range(len(data.shards))} == {True, False}


OPEN = """
import sys
from pathlib import Path
import numpy as np
from manifests.objects.manifest import Manifest
from manifests.store import open_store
from trainer.data.samples import PhaseData
root, digest, cache = sys.argv[1:]
data = PhaseData(Manifest(open_store(root), digest), "pretrain", Path(cache))
assert data.batch(np.arange(8)).tokens.shape == (8, 64)
print(sorted({"pandas", "numpy.ma", "fsspec", "pydantic", "torch"} & set(sys.modules)))
"""


def test_the_first_batch_needs_no_slow_imports(made: Demo, tmp_path: Path) -> None:
    manifest = made[0]
    # What a machine does once, when it opens a shard for the first time, may.
    PhaseData(manifest, "pretrain", tmp_path).batch(np.arange(8))
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, manifest.store.url, manifest.digest, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


def test_ids_of_four_bytes_read_like_those_of_two(
    made: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = partial(token_step, vocabulary=100_352)
    monkeypatch.setattr(read_slowly, "token_step", wide)
    manifest, documents = demo(open_store(str(tmp_path / "root")), tmp_path)
    data = PhaseData(manifest, "pretrain", tmp_path / "cache")
    batch = data.batch(np.arange(data.samples))
    same_rows(batch, Slowly(manifest, "pretrain", documents))
    assert {data.shards.shard(int(n)).ids(0, 1).dtype for n in data.locate(np.arange(9)).shard} == {
        np.dtype("<u4")
    }


def test_any_positions_in_any_order_give_the_rows_that_all_together_give(
    made: Demo, tmp_path: Path
) -> None:
    data = PhaseData(made[0], "pretrain", tmp_path)
    whole = data.batch(np.arange(data.samples))
    rng = np.random.default_rng(1)
    asked = [rng.integers(0, data.samples, n) for n in (1, 5, 0, 40, 700)]
    for positions, one in zip(asked, data.batches(asked), strict=True):
        for field in fields(Batch):
            values, all_of_it = getattr(one, field.name), getattr(whole, field.name)[positions]
            if field.name == "cu_seqlens":
                assert (all_of_it[:, values.shape[1] :] == 64).all()
                all_of_it = all_of_it[:, : values.shape[1]]
            np.testing.assert_array_equal(values, all_of_it)
            assert values.dtype == all_of_it.dtype
            assert values.flags.c_contiguous
            assert values.flags.writeable


@pytest.mark.parametrize("phase", PHASES)
def test_manifest_at_names_what_a_batch_gives(made: Demo, phase: str, tmp_path: Path) -> None:
    manifest, documents = made
    contents, data = Contents(manifest), PhaseData(manifest, phase, tmp_path)
    for step in range(0, data.phase.steps, 3):
        said = batch_at(contents, data.phase, step)
        batch = data.batch(said.start + np.arange(said.global_batch))
        for row, sample in enumerate(said.samples):
            runs = [
                [*documents[piece.id].ids, END][piece.start :][: piece.length]
                for piece in sample.documents
            ]
            if sum(map(len, runs)) == sample.tokens + 1:  # not packed: one run, one last label
                runs = [[one for run in runs for one in run]]
            assert batch.positions[row] == sample.position
            inputs = [one for run in runs for one in run[:-1]]
            assert batch.tokens[row, : sample.tokens].tolist() == inputs
            labels = [one for run in runs for one in run[1:]]
            assert batch.labels[row, : sample.tokens].tolist() == labels
            assert not batch.loss_mask[row, sample.tokens :].any()


def test_memory_is_used_again_when_nothing_of_a_batch_is_held(made: Demo, tmp_path: Path) -> None:
    data = PhaseData(made[0], "pretrain", tmp_path)
    asked = [np.arange(n, n + 4) for n in range(0, 40, 4)]
    held = [data.batch(positions) for positions in asked]
    alone = [PhaseData(made[0], "pretrain", tmp_path).batch(positions) for positions in asked]
    for one, other in zip(held, alone, strict=True):
        for field in fields(Batch):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    del held, one
    place = data.batch(asked[0]).tokens.__array_interface__["data"]
    mask = data.batch(asked[1]).loss_mask
    assert data.batch(asked[0]).tokens.__array_interface__["data"] != place
    assert mask.tolist() == alone[1].loss_mask.tolist()
    del mask
    assert data.batch(asked[0]).tokens.__array_interface__["data"] == place


def test_few_open_shards_give_the_same_rows(
    made: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = PhaseData(made[0], "pretrain", tmp_path).batch(np.arange(100))
    monkeypatch.setattr(shards_module, "MOST_OPEN", 2)
    few = PhaseData(made[0], "pretrain", tmp_path)
    np.testing.assert_array_equal(few.batch(np.arange(100)).tokens, many.tokens)
    assert len(few.shards._open) == 2


def test_no_file_is_opened_before_a_sample_needs_it(made: Demo, tmp_path: Path) -> None:
    data = PhaseData(made[0], "pretrain", tmp_path)
    assert (data.shards._open, list(tmp_path.iterdir())) == ({}, [])
    data.batch(np.array([3]))
    assert 1 <= len(data.shards._open) <= 2


def test_a_pickle_reads_the_same(made: Demo, tmp_path: Path) -> None:
    data = PhaseData(made[0], "sft", tmp_path)
    again = pickle.loads(pickle.dumps(data))  # noqa: S301
    np.testing.assert_array_equal(again.batch(np.arange(9)).labels, data.batch(np.arange(9)).labels)


@pytest.mark.parametrize("positions", [[-1], [0, 10**9]])
def test_a_position_that_the_phase_does_not_have_is_refused(
    made: Demo, positions: list[int], tmp_path: Path
) -> None:
    with pytest.raises(IndexError, match="positions outside of 0 to"):
        PhaseData(made[0], "pretrain", tmp_path).batch(np.array(positions))


def test_any_store_reads_alike(store: Store, tmp_path: Path) -> None:
    manifest, documents = demo(store, tmp_path)
    data = PhaseData(manifest, "dpo", tmp_path / "cache")
    same_rows(data.batch(np.arange(data.samples)), Slowly(manifest, "dpo", documents))
