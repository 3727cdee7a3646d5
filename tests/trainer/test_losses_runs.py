"""`trainer reference` and `trainer run` on phases of pairs, whole."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.layout import reference_address
from manifests.store import open_store
from tests.trainer.paired import RESPONSES, pair_manifest
from tests.trainer.ranks import run_ranks
from trainer.loop.directories import open_checkpoint
from trainer.loop.lines import read_lines
from trainer.losses.reference import checkpoint_digest

WORKER = Path(__file__).with_name("reference_worker.py")


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the commands left."""

    folder: Path
    said: list[dict[str, Any]]

    def told(self, number: int) -> dict[str, Any]:
        assert self.said[number]["status"] == 0, self.said[number]
        found: dict[str, Any] = json.loads(self.said[number]["out"])
        return found

    def steps(self, phase: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = read_lines(self.folder / "out" / phase / "metrics.jsonl")
        return [line for line in lines if line["kind"] == "step"]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("runs")
    pair_manifest(open_store(str(folder / "root")), folder)
    common = [
        *("pairs", "--root", str(folder / "root"), "--cache", str(folder / "cache")),
        *("--config", "tiny", "--micro-batch", "4", "--json"),
    ]
    run = ["run", *common, "--out", str(folder / "out"), "--workers", "0", "--phase"]
    sft = str(folder / "out" / "sft")
    reference = ["reference", *common, "--phase", "dpo2", "--init", sft]
    jobs = [
        {"argv": [*run, "sft", "--init", "none"]},
        {"argv": reference, "kill": True},
        {"argv": reference},
        {"argv": reference},
        {"argv": ["reference", *common, "--phase", "sft", "--init", sft]},
        {"argv": [*run, "dpo2", "--init", sft]},
        {"argv": [*run, "dpo1", "--init", sft]},
    ]
    (said,) = run_ranks(WORKER, 1, json.dumps(jobs))
    return Left(folder=folder, said=said)


def test_a_killed_reference_is_computed_by_the_same_command(left: Left) -> None:
    assert left.said[1]["status"] == -signal.SIGKILL
    first, again = left.told(2), left.told(3)
    assert (first["computed"], again["computed"]) == (1, 0)
    assert first["pairs"] == RESPONSES
    assert {**first, "computed": 0} == again
    path, _ = open_checkpoint(left.folder / "out" / "sft")
    assert first["checkpoint"] == checkpoint_digest(path)
    manifest, phase = first["manifest"], first["phase"]
    assert first["address"] == reference_address(manifest, phase, first["checkpoint"])


def test_a_phase_without_pairs_has_no_reference(left: Left) -> None:
    assert left.said[4]["error"] == (
        "phase sft has no reference: its loss is assistant, which does not learn from pairs"
    )


@pytest.mark.parametrize(("number", "phase"), [(5, "dpo2"), (6, "dpo1")])
def test_a_run_on_pairs_prefers_the_chosen_ones(left: Left, number: int, phase: str) -> None:
    assert left.said[number]["status"] == 0, left.said[number]
    steps = left.steps(phase)
    assert steps[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert steps[0]["accuracy"] == 0
    assert steps[-1]["accuracy"] == 1
    assert steps[-1]["loss"] < steps[0]["loss"]
