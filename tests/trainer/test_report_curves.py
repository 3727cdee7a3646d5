import json
from pathlib import Path

import numpy as np
import pytest

from manifests.errors import ConfigError, DataError
from trainer.report.curves import draw, read_curves, smoothed, text_of


def write(out: Path, phase: str, losses: list[float], looks: dict[int, float]) -> None:
    lines: list[dict[str, object]] = []
    for step, loss in enumerate(losses):
        lines.append({"step": step, "kind": "step", "loss": loss})
        if step in looks:
            sources = {"web": {"loss": looks[step], "tokens": 8}}
            lines.append(
                {"step": step, "kind": "evaluation", "set": "m#e", "loss": 1.0, "sources": sources}
            )
    folder = out / phase
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(tmp_path, "pretrain", [5.0, 4.0, 3.0], {2: 3.5})
    write(tmp_path, "sft", [2.0, 1.0], {})
    return tmp_path


def test_phases_stand_one_behind_the_other_with_their_held_out_sets(out: Path) -> None:
    found = {(curve.phase, curve.name): curve for curve in read_curves(out)}
    assert list(found) == [("pretrain", "training"), ("pretrain", "m#e web"), ("sft", "training")]
    assert found["pretrain", "training"].steps.tolist() == [1, 2, 3]
    assert found["pretrain", "m#e web"].steps.tolist() == [3]
    assert found["sft", "training"].steps.tolist() == [4, 5]
    assert found["sft", "training"].losses.tolist() == [2.0, 1.0]


def test_a_mean_reaches_back_so_far_and_no_further() -> None:
    losses = np.array([4.0, 2.0, 6.0, 8.0])
    assert smoothed(losses, 2).tolist() == [4.0, 3.0, 4.0, 7.0]
    assert smoothed(losses, 1).tolist() == losses.tolist()


def test_curves_are_drawn_in_the_terminal_and_as_a_png(out: Path, tmp_path: Path) -> None:
    curves = read_curves(out)
    text = text_of(curves, width=60)
    assert "pretrain 5.00 to" in text
    assert "sft 2.00 to" in text
    assert max(map(len, text.splitlines())) <= 60
    draw(curves, tmp_path / "new" / "loss.png")
    assert (tmp_path / "new" / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "said"),
    [("loss.txt", "ends in .png"), ("sft/metrics.jsonl/loss.png", "written there: File exists")],
)
def test_a_png_that_cannot_be_written_is_one_line(out: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        draw(read_curves(out), out / name)


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"step": "x"}', "[1]"])
def test_a_log_that_is_none_is_one_line(out: Path, line: str) -> None:
    with (out / "sft" / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"metrics.jsonl: line 3 is not one of a trainer's log"):
        read_curves(out)


def test_a_folder_without_a_training_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training in it; give the --out"):
        read_curves(tmp_path)
