"""What needs torch and megatron, seen on two gloo ranks: one start for all of it."""

from pathlib import Path
from typing import Any

import pytest

from manifests.store import open_store
from tests.trainer.ranks import run_ranks
from tests.trainer.read_slowly import SPEC, demo


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo")
    store = open_store(str(folder / "root"))
    manifest, _ = demo(store, folder)
    other, _ = demo(store, folder, SPEC.replace("seed = 7", "seed = 8"))
    script = Path(__file__).with_name("data_worker.py")
    return run_ranks(script, 2, store.url, manifest.digest, other.digest, str(folder / "cache"))


def test_ranks_that_read_the_same_agree_and_one_that_does_not_is_named_on_all(
    seen: list[dict[str, Any]],
) -> None:
    assert len({one["digest"] for one in seen}) == 1
    assert all("phase pretrain: rank 1 on " in one["differs"] for one in seen)
    assert all(one["broken"].startswith("rank 1 on ") for one in seen)
    assert all("cannot be written to" in one["broken"] for one in seen)
    assert all("\n" not in one["differs"] + one["broken"] for one in seen)


def test_any_number_of_workers_gives_the_same_batches_in_the_same_order(
    seen: list[dict[str, Any]],
) -> None:
    assert seen[0]["workers"] == [True] * 4


def test_tensors_lie_in_the_memory_of_the_batch(seen: list[dict[str, Any]]) -> None:
    assert seen[0]["zero_copy"]


def test_megatrons_builder_takes_a_phase_and_gives_its_samples(seen: list[dict[str, Any]]) -> None:
    built = seen[0]["built"]
    assert built["fields"] == [
        "cu_seqlens",
        "labels",
        "loss_mask",
        "max_seqlen",
        "position_ids",
        "tokens",
    ]
    assert built["same"] == [True] * 4
    assert built["shape"] == [built["length"], 65]
    assert built["cu_seqlens"]
    assert built["max_seqlen"]
    assert built["mask"]
    assert built["filler"]


def test_megatrons_builder_is_told_what_a_phase_does_not_have(seen: list[dict[str, Any]]) -> None:
    length, samples, phase, path, cache = seen[0]["built"]["refused"]
    assert length == "sequence_length = 32: phase pretrain has windows of 64"
    assert samples.startswith("1,000,000,000 samples are asked for: phase pretrain has")
    assert phase.startswith("demo has no phase nothing")
    assert path == "/data/text_document: give manifest://<ref>#<phase>"
    assert cache.endswith("set path_to_cache to a folder of this machine")
