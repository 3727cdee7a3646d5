"""Whole runs: killed, asked to stop, resumed on other layouts, through all phases, refused.

Two processes groups do it all: one rank, then two, each a list of commands; the tests read what
they left.
"""

import json
import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.locate.contents import Contents
from manifests.locate.where import Asked, where
from manifests.objects.manifest import Manifest
from manifests.objects.pins import pins
from manifests.objects.refs import Refs
from manifests.store import Store
from tests.manifests.committed import item
from tests.trainer.loop_mixtures import STEPS, make_root, publish, publish_rebased
from tests.trainer.ranks import run_ranks
from trainer.loop.directories import open_checkpoint, steps_of
from trainer.loop.lines import read_lines

KILL, TERM = int(signal.SIGKILL), int(signal.SIGTERM)
CLOSE = 1e-5
WORKER = Path(__file__).with_name("loop_worker.py")


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the runs left."""

    folder: Path
    store: Store
    ended: dict[str, dict[str, Any]]
    """How each command ended, on rank 0."""
    others: dict[str, dict[str, Any]]
    """And on rank 1, of those on two."""

    def steps(self, name: str, phase: str = "pretrain") -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = read_lines(self.folder / name / phase / "metrics.jsonl")
        return [line for line in lines if line["kind"] == "step"]

    def losses(self, name: str, phase: str = "pretrain") -> list[float]:
        return [line["loss"] for line in self.steps(name, phase)]

    def seen(self, name: str, phase: str = "pretrain") -> dict[int, list[list[int]]]:
        """Positions that ranks say they saw, by step, as ranges of all ranks in order."""
        found: dict[int, list[list[int]]] = {}
        for path in sorted((self.folder / name / phase / "seen").iterdir()):
            for line in read_lines(path):
                found.setdefault(int(str(line["step"])), []).extend(line["positions"])  # type: ignore[arg-type]
        return {step: sorted(ranges) for step, ranges in found.items()}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("runs")
    store = make_root(folder / "root")
    publish(store, "other", tokens=640)
    publish(store, "wild", rate=1e30)
    publish_rebased(store, "rebased", publish(store, "copy"), 6)

    def job(
        name: str, *options: object, ref: str = "tiny", workers: int = 0, **more: Any
    ) -> dict[str, Any]:
        argv = ["run", ref, "--root", store.url, "--phase", "pretrain", "--config", "tiny"]
        argv += [
            "--out",
            str(folder / name),
            "--cache",
            str(folder / "cache"),
            "--workers",
            str(workers),
        ]
        return {"name": name, "argv": [*argv, *map(str, options)], **more}

    killed = random.randrange(1, STEPS)  # any moment must do
    alone = [
        job("killed", "--save-every", 3, fork=True, signal=[KILL, killed, 0]),
        job("torn", "--save-every", 4, fork=True, publish=[KILL, 8]),
        job("whole", "--save-every", 4, "--keep", 0, "--eval", "held#held", "--json"),
        job("asked", "--save-every", 100, signal=[TERM, 5, 0]),
        job("all", "--phases", "all", "--save-every", 2, "--keep", 1),
        job("spread", "--distributed-optimizer", "--steps", 6),
        job("copy", "--steps", 6, ref="copy"),
        job("copy", "--keep", 1, ref="rebased"),
        job("other", ref="other"),
        job("other", ref="tiny"),
        job("wild", "--save-every", 1, ref="wild"),
    ]
    first = run_ranks(WORKER, 1, json.dumps(alone))[0]
    for name in ("tensor", "stages", "broken"):
        shutil.copytree(folder / "whole", folder / name)
        for step in (8, 12):
            shutil.rmtree(folder / name / "pretrain/checkpoints" / f"step-{step:08d}")
    for phase in ("pretrain", "midtrain"):
        shutil.copytree(folder / "all" / phase, folder / "piped" / phase)
    spoil(folder / "broken/pretrain/checkpoints/step-00000004/__0_0.distcp")
    together = [
        job("killed", workers=1),
        job("torn"),
        job("tensor", "--tensor-parallel", 2),
        job("stages", "--pipeline-parallel", 2),
        job("spread"),
        job("broken"),
        job("piped", "--phases", "all", "--pipeline-parallel", 2),
        job("asked", "--save-every", 100, signal=[TERM, 8, 1]),
        job("full", "--save-every", 4, room=[30_000, 5, 0], told="no room to save"),
        job("full", "--save-every", 4, room=[0, 6, 1], told="no room for a log"),
        job("full", "--save-every", 4),
    ]
    second, others = run_ranks(WORKER, 2, json.dumps(together))
    return Left(
        folder=folder,
        store=store,
        ended={
            **{
                f"{n}:{job['name']}": end
                for n, job, end in zip(range(len(alone)), alone, first, strict=True)
            },
            **{
                f"two:{job.get('told', job['name'])}": end
                for job, end in zip(together, second, strict=True)
            },
        },
        others={
            job.get("told", job["name"]): end for job, end in zip(together, others, strict=True)
        },
    )


def spoil(file: Path) -> None:
    """Zeros in its second half, as a disk leaves it that has lost them."""
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(file.stat().st_size // 2))


def test_tensors_that_cannot_be_read_are_told_of_in_one_line(left: Left) -> None:
    told = left.ended["two:broken"]
    assert told["kind"] == "DataError"
    assert "\n" not in told["error"]
    assert "step-00000004: its tensors cannot be read (" in told["error"]
    assert "remove its directory to go on from an older one" in told["error"]


def test_a_run_learns_and_tells_of_every_step(left: Left) -> None:
    steps = left.steps("whole")
    assert [line["step"] for line in steps] == list(range(STEPS))
    assert left.losses("whole")[-1] < 0.8 * left.losses("whole")[0]
    assert [line["positions"] for line in steps] == [[8 * s, 8 * s + 7] for s in range(STEPS)]
    for line in steps:
        assert line["tokens_per_second"] > 0
        assert line["grad_norm"] > 0
        assert line["memory"] > 0


def test_every_command_ended_as_it_should(left: Left) -> None:
    ends = {name: end["status"] for name, end in left.ended.items()}
    wrong = {"0:killed": -KILL, "1:torn": -KILL, "3:asked": 128 + TERM, "two:asked": 128 + TERM}
    wrong |= {"9:other": 1, "10:wild": 1, "two:no room to save": 1, "two:no room for a log": 1}
    wrong |= {"two:broken": 1}
    assert {name: status for name, status in ends.items() if status} == wrong, left.ended
    assert all(end["status"] == ends[f"two:{name}"] for name, end in left.others.items())


@pytest.mark.parametrize("name", ["killed", "torn", "tensor", "stages", "spread", "full"])
def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(left: Left, name: str) -> None:
    """Killed anywhere on one rank, or in the middle of a checkpoint; then on two ranks, data-,
    tensor- or pipeline-parallel, with another number of workers, with a distributed optimizer.
    """
    assert [line["step"] for line in left.steps(name)] == list(range(STEPS))
    for what in ("loss", "grad_norm", "learning_rate"):
        found = [line[what] for line in left.steps(name)]
        wanted = [line[what] for line in left.steps("whole")]
        assert found == pytest.approx(wanted, rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize("name", ["whole", "killed", "torn", "tensor", "stages", "spread", "full"])
def test_every_position_was_seen_once_and_at_its_step(left: Left, name: str) -> None:
    seen = left.seen(name)
    for step in range(STEPS):
        positions = [p for low, high in seen[step] for p in range(low, high + 1)]
        assert sorted(positions) == list(range(8 * step, 8 * step + 8))
    assert sorted(seen) == list(range(STEPS))


@pytest.mark.parametrize("name", ["whole", "torn"])
def test_the_manifest_says_of_a_record_what_the_ranks_saw(left: Left, name: str) -> None:
    """`torn` was trained on one rank up to its checkpoint of step 4, and on two from there."""
    manifest = Manifest(left.store, Refs(left.store).resolve("tiny").digest)
    records = [item(f"book/{number}") for number in range(10)]
    logs = {
        rank: {int(str(line["step"])): line["positions"] for line in read_lines(path)}
        for rank, path in enumerate(sorted((left.folder / name / "pretrain/seen").iterdir()))
    }
    found = 0
    for ranks, steps in [(1, range(4)), (2 if name == "torn" else 1, range(4, STEPS))]:
        asked = Asked(phase="pretrain", data_parallel=ranks, micro_batch=2)
        told = where(Contents(manifest), records, asked)
        for one in (one for record in told for one in record.occurrences):
            if one.step in steps:
                assert one.rank is not None
                assert any(low <= one.position <= high for low, high in logs[one.rank][one.step])  # type: ignore[attr-defined]
                found += 1
    assert found > 5


def test_a_checkpoint_says_where_the_run_stands(left: Left) -> None:
    folder = left.folder / "whole/pretrain/checkpoints"
    assert steps_of(folder) == [4, 8, 12]
    _, state = open_checkpoint(folder / "step-00000008")
    manifest = Refs(left.store).resolve("tiny").digest
    assert (state.manifest, state.phase, state.segment) == (manifest, "pretrain", 0)
    assert (state.step, state.position, state.tokens) == (8, 64, 1024)
    assert list(state.recent_losses) == left.losses("whole")[:8]


def test_what_a_kill_left_half_written_is_gone(left: Left) -> None:
    for name in ("killed", "torn"):
        names = {path.name for path in (left.folder / name / "pretrain/checkpoints").iterdir()}
        assert all("." not in found for found in names), names
        assert "step-00000012" in names


def test_a_signal_saves_the_step_that_is_under_way(left: Left) -> None:
    """The first came to the only rank, the second to the other of two; nothing else was saved."""
    assert steps_of(left.folder / "asked/pretrain/checkpoints") == [6, 9]
    assert left.losses("asked") == pytest.approx(left.losses("whole")[:9], rel=CLOSE)


def test_phases_go_on_from_each_other(left: Left) -> None:
    places = {}
    for phase, steps in [("pretrain", STEPS), ("midtrain", 2), ("sft", 2), ("dpo", 2)]:
        path, state = open_checkpoint(left.folder / "all" / phase)
        assert (state.step, len(left.losses("all", phase))) == (steps, steps)
        places[phase] = path
    for phase, before in [("midtrain", "pretrain"), ("sft", "midtrain"), ("dpo", "sft")]:
        origin = open_checkpoint(places[phase])[1].origin
        assert origin is not None
        assert (origin.phase, origin.path) == (before, str(places[before]))
    assert left.losses("all") == left.losses("whole")


@pytest.mark.parametrize("phase", ["sft", "dpo"])
def test_a_pipeline_has_the_losses_of_one_rank_in_every_phase(left: Left, phase: str) -> None:
    """From the same weights; of DPO that goes for its reference, too, which each run computed for
    its own checkpoint.
    """
    for what in ("loss", "grad_norm", "learned"):
        found = [line[what] for line in left.steps("piped", phase)]
        wanted = [line[what] for line in left.steps("all", phase)]
        assert len(found) == 2
        assert found == pytest.approx(wanted, rel=CLOSE, abs=CLOSE)
    _, state = open_checkpoint(left.folder / "piped" / phase)
    assert state.layout["pipeline"] == 2


def test_the_loss_goes_on_over_a_seam(left: Left) -> None:
    """Another window and another rotary base, before any update."""
    found = json.loads((left.folder / "all/midtrain/seam.json").read_text())
    assert found["from"]["losses"] == left.losses("all")[-8:]
    assert found["to"]["losses"][0] == pytest.approx(left.losses("all", "midtrain")[0], rel=CLOSE)
    assert found["to"]["losses"][0] == pytest.approx(found["from"]["losses"][-1], rel=0.05)
    pairs = json.loads((left.folder / "all/dpo/seam.json").read_text())["to"]["losses"]
    assert pairs == pytest.approx([np.log(2)] * len(pairs), rel=1e-6)


def test_only_as_many_checkpoints_are_kept_as_asked(left: Left) -> None:
    assert steps_of(left.folder / "all/pretrain/checkpoints") == [12]


def test_held_out_losses_are_told_by_source(left: Left) -> None:
    lines = read_lines(left.folder / "whole/pretrain/metrics.jsonl")
    (found,) = [line for line in lines if line["kind"] == "evaluation"]
    assert (found["step"], found["set"]) == (STEPS - 1, "held#held")
    assert list(found["sources"]) == ["web"]  # type: ignore[call-overload]
    assert found["loss"] == pytest.approx(left.losses("whole")[-1], rel=0.2)


def test_a_rebased_manifest_goes_on_where_the_checkpoint_stands(left: Left) -> None:
    assert [line["step"] for line in left.steps("copy")] == list(range(2 * STEPS))
    assert left.losses("copy")[:6] == left.losses("whole")[:6]
    _, state = open_checkpoint(left.folder / "copy/pretrain")
    assert state.manifest == Refs(left.store).resolve("rebased").digest


def test_another_manifest_is_refused_with_the_way_out(left: Left) -> None:
    told = left.ended["9:other"]
    other, tiny = (Refs(left.store).resolve(name).digest[:12] for name in ("other", "tiny"))
    assert told["kind"] == "ConfigError"
    assert f"was trained on sha256:{other}, and tiny names sha256:{tiny}" in told["error"]
    assert "manifest rebase tiny --phase pretrain --at-step 5" in told["error"]


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(left: Left) -> None:
    told = left.ended["10:wild"]
    step = len(left.steps("wild"))
    assert told["kind"] == "ScriptoriumError"
    assert f"phase pretrain, step {step}: the loss is " in told["error"]
    assert "nan; the last" in told["error"]
    assert f"checkpoint is that of step {step}" in told["error"]
    assert f"manifest at pretrain {step} wild" in told["error"]
    assert steps_of(left.folder / "wild/pretrain/checkpoints") == list(range(1, step + 1))[-3:]


def test_a_full_disk_ends_all_ranks_in_one_line_and_the_last_checkpoint_stands(left: Left) -> None:
    """Of rank 0 in the middle of a checkpoint, then of rank 1 when it notes what it saw. With room
    the run goes on, as the tests of resumed runs see.
    """
    folder = left.folder / "full/pretrain"
    ends = [("no room to save", 8, "the disk took only a part of a file")]
    for name, step, why in [*ends, ("no room for a log", 7, "File too large")]:
        told = left.ended[f"two:{name}"]
        assert told["kind"] == "StoreFull"
        assert told["error"] == (
            f"{folder}, after step {step}: {why}; the last checkpoint is that of step 4:"
            " make room there and give the same command again"
        )


def test_a_run_holds_the_manifests_that_its_checkpoints_need(left: Left) -> None:
    held = {one.digest for one in pins(left.store)}
    names = ("tiny", "other", "rebased", "wild")
    assert held == {Refs(left.store).resolve(name).digest for name in names}
    assert {one.who for one in pins(left.store)} == {
        json.loads((path / "run.json").read_text())["holder"]
        for path in left.folder.iterdir()
        if (path / "run.json").exists()
    }


def test_tensorboard_reads_what_was_told(left: Left) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(left.folder / "torn/pretrain/tensorboard"))
    board.Reload()
    found = {event.step: event.value for event in board.Scalars("loss")}
    assert [found[step] for step in range(STEPS)] == pytest.approx(left.losses("torn"), rel=1e-6)


def test_the_result_is_one_object_with_json(left: Left) -> None:
    (found,) = json.loads(left.ended["2:whole"]["out"])["phases"]
    assert (found["phase"], found["step"], found["steps"]) == ("pretrain", STEPS, STEPS)
    assert found["loss"] == left.losses("whole")[-1]
    assert Path(found["checkpoint"]).name == "step-00000012"
