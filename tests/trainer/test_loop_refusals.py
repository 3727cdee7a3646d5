"""What `python -m trainer run` refuses: in one line, before torch is imported or a file written."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from manifests.errors import ConfigError, DataError
from manifests.objects.pins import pins
from manifests.objects.refs import Refs
from manifests.store import Store
from tests.manifests.tokened import text, token_step
from tests.trainer.loop_mixtures import make_root, publish_held
from trainer.cli import cli
from trainer.loop import directories
from trainer.loop.heldout import held_out
from trainer.loop.origins import refuse_other_optimizer
from trainer.loop.overlap import refuse_trained_on
from trainer.loop.pinning import hold
from trainer.loop.state import Origin, State
from trainer.model.config import read_config


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_root(tmp_path_factory.mktemp("refusals") / "root")


def run(store: Store, out: Path, *options: object) -> str:
    argv = ["run", "tiny", "--root", store.url, "--config", "tiny", "--out", str(out)]
    argv += ["--cache", str(out.parent / "cache"), *map(str, options)]
    with pytest.raises(ConfigError) as found:
        cli.main(argv, prog_name="trainer", standalone_mode=False)
    told = str(found.value)
    assert "\n" not in told
    return told


def checkpoint(store: Store, out: Path, phase: str, step: int, **other: object) -> Path:
    """A checkpoint as far as its state goes; no test here comes to its tensors."""
    state = State(
        manifest=Refs(store).resolve("tiny").digest,
        phase=phase,
        segment=0,
        step=step,
        position=8 * step,
        tokens=128 * step,
        order="o",
        model=read_config("tiny").model.with_vocabulary(260).digest(),
        model_name="tiny",
        vocabulary=260,
        loss="language_model",
        precision="fp32",
        seed=1234,
        distributed_optimizer=False,
    )
    folder = out / phase / "checkpoints"
    part = directories.begin(folder, step)
    return directories.publish(part, replace(state, **other))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--phase", "nope"], "tiny has no phase nope; it has pretrain, midtrain, sft, dpo"),
        (["--phase", "sft"], "phase sft goes on from midtrain: give --init CHECKPOINT, or"),
        (["--phase", "dpo", "--init", "none"], "phase dpo learns from pairs beside a reference"),
        (["--phase", "pretrain", "--init", "/nowhere"], "/nowhere: no checkpoint; give one such"),
        (["--phase", "pretrain", "--micro-batch", 3], "does not divide into micro batches of 3 on"),
        (["--phase", "pretrain", "--tensor-parallel", 2], "start 2 ranks or a multiple"),
        (["--phase", "pretrain", "--eval", "tiny"], "--eval tiny: give REF#PHASE"),
        (["--phase", "pretrain", "--eval", "tiny#no"], "tiny has the phases pretrain, midtrain"),
        (["--phase", "pretrain", "--eval", "tiny#dpo"], "a phase of pairs has no loss without"),
        (
            ["--phase", "sft", "--eval", "tiny#midtrain"],
            "2 of its shards are trained on, the first",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    store: Store, tmp_path: Path, options: list[object], said: str
) -> None:
    assert said in run(store, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
    assert not pins(store)


@pytest.mark.parametrize("phase", ["pretrain", "midtrain", "sft"])
def test_a_set_is_not_held_out_when_the_weights_have_been_through_it(
    store: Store, tmp_path: Path, phase: str
) -> None:
    """In the phase itself, or in one that it goes on from."""
    publish_held(store, "not_held", step="book")
    told = run(store, tmp_path / "out", "--phase", phase, "--eval", "not_held#held")
    assert told == (
        "--eval not_held#held: 1 of its shards is trained on: slice 0 of book_tokens@1 in phase"
        " pretrain of tiny; build the held-out manifest over steps that tiny does not name, or"
        " over other records of them"
    )


def test_a_set_may_share_files_but_no_rows(tmp_path: Path) -> None:
    store = make_root(tmp_path / "root")
    words = [text(f"m/{i}", "abc" * 9, lang=lang) for i, lang in enumerate(["en", "de"] * 9)]
    token_step(store, "mixed_tokens", words[:8], words[8:], index=True)
    trained = publish_held(store, "english", step="mixed", lang="en")
    publish_held(store, "german", step="mixed", lang="de")
    tokenizer = trained.root.tokenizer
    refuse_trained_on(held_out(store, "german#held", tokenizer), trained, trained.root.phases)
    with pytest.raises(
        ConfigError,
        match=r"2 of its shards are trained on, the first is slice 0 of mixed_tokens@1 in",
    ):
        refuse_trained_on(held_out(store, "english#held", tokenizer), trained, trained.root.phases)
    publish_held(store, "both", step="mixed", lang="*")
    with pytest.raises(
        ConfigError,
        match=r"2 of its shards are trained on, the first is slice 0 of mixed_tokens@1 in",
    ):
        refuse_trained_on(held_out(store, "both#held", tokenizer), trained, trained.root.phases)


def test_an_out_that_cannot_be_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = run(store, tmp_path / "file" / "out", "--phase", "pretrain", "--cache", tmp_path / "c")
    assert told == (
        f"--out {tmp_path}/file/out: {tmp_path}/file is a file; give a folder, or a new name"
    )


def test_a_refusal_is_one_line_and_status_2_and_does_not_wait_for_torch(
    store: Store, tmp_path: Path
) -> None:
    """Rank 0 says it, the others leave with it silently."""
    code = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules)); "
    code += "from trainer.__main__ import main; main()"
    argv = ["run", "tiny", "--root", store.url, "--config", "tiny", "--out", str(tmp_path / "o")]
    argv += ["--cache", str(tmp_path / "cache"), "--phase", "sft"]
    for rank, lines in (("0", 1), ("1", 0)):
        ended = subprocess.run(
            [sys.executable, "-c", code, *argv],
            env={**os.environ, "RANK": rank, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 2, ended.stderr
        assert ended.stdout == "False\n"
        assert len(ended.stderr.splitlines()) == lines, ended.stderr


def test_a_checkpoint_of_another_model_is_refused(store: Store, tmp_path: Path) -> None:
    path = checkpoint(store, tmp_path / "out", "pretrain", 4, model="b" * 64, model_name="other")
    told = run(store, tmp_path / "out", "--phase", "pretrain")
    assert f"{path} is a checkpoint of other (bbbbbbbbbbbb), and --config tiny is another" in told
    assert "is a checkpoint of other" in run(
        store, tmp_path / "new", "--phase", "midtrain", "--init", path
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"precision": "bf16"}, "was trained with precision bf16, and this run has fp32"),
        ({"seed": 7}, "was trained with seed 7, and this run has 1234"),
        ({"manifest": "c" * 64}, "was trained on sha256:cccccccccccc, and tiny names sha256:"),
    ],
)
def test_a_run_goes_on_as_it_began_or_not_at_all(
    store: Store, tmp_path: Path, state: dict[str, object], said: str
) -> None:
    checkpoint(store, tmp_path / "out", "pretrain", 4, **state)
    assert said in run(store, tmp_path / "out", "--phase", "pretrain")


def test_optimizer_states_that_cannot_be_read_are_refused(store: Store, tmp_path: Path) -> None:
    checkpoint(store, tmp_path / "out", "pretrain", 4, distributed_optimizer=True)
    asked = ["--phase", "pretrain", "--no-distributed-optimizer"]
    assert "is read with --distributed-optimizer only" in run(store, tmp_path / "out", *asked)
    path = checkpoint(store, tmp_path / "new", "pretrain", 4, optimizer=False)
    with pytest.raises(ConfigError, match='has weights only: set optimizer_state = "reset"'):
        refuse_other_optimizer(directories.open_checkpoint(path), None)


def test_a_phase_does_not_begin_from_one_that_is_not_over(store: Store, tmp_path: Path) -> None:
    path = checkpoint(store, tmp_path / "out", "pretrain", 4)
    told = run(store, tmp_path / "out", "--phase", "midtrain")
    assert "phase pretrain is at step 4 of 12: train it to its end, or begin midtrain" in told
    assert told.endswith(f"--init {path}")


def test_a_phase_is_not_gone_on_with_when_the_one_before_it_has_moved(
    store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    path = checkpoint(store, out, "pretrain", 4)
    origin = Origin(path=str(path), manifest="", phase="pretrain", step=4)
    checkpoint(store, out, "midtrain", 1, origin=origin)
    checkpoint(store, out, "pretrain", 12)
    told = run(store, out, "--phases", "midtrain,pretrain")
    assert "phase midtrain began from step 4 of pretrain, which is at step 12 now" in told


def test_a_run_lets_go_of_its_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = make_root(tmp_path / "root"), tmp_path / "out"
    digest = Refs(store).resolve("tiny").digest
    hold(store, out, digest)
    hold(store, tmp_path / "another", digest)
    cli.main(["release", str(out), "--root", store.url], standalone_mode=False)
    assert capsys.readouterr().out == f"sha256:{digest}\n"
    assert len(pins(store)) == 1
    cli.main(["release", str(out), "--root", store.url], standalone_mode=False)
    assert f"{store.url} holds nothing for {out}" in capsys.readouterr().err
    (out / "run.json").write_text("")
    with pytest.raises(DataError, match=r"run.json: not the name of a run"):
        cli.main(["release", str(out), "--root", store.url], standalone_mode=False)
    with pytest.raises(ConfigError, match="no run; give the --out of one"):
        cli.main(["release", str(tmp_path), "--root", store.url], standalone_mode=False)
