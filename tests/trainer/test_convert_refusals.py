"""What export and import refuse: one line, exit status 2, and nothing is written."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import StoreFull
from manifests.exits import run
from tests.trainer.convert_world import VOCABULARY, describe, model_file, publish
from trainer.cli import cli
from trainer.convert.parts import Names, parts
from trainer.convert.room import folder_with_room
from trainer.model.config import read_config

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trainer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(cli)
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return call


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and, as `random`, a model of it; nothing may write there."""
    import torch
    from safetensors.torch import save_file

    from trainer.convert.description import Described, model_config

    folder = tmp_path_factory.mktemp("source")
    config = read_config(str(model_file(folder))).model.with_vocabulary(VOCABULARY)
    there = folder / "random"
    there.mkdir()
    torch.manual_seed(0)
    weights = {part.name: torch.randn(part.shape) for part in parts(config, Names.PHI3)}
    save_file(weights, there / "model.safetensors")
    found = Described(sequence_length=64, rope_base=1e4, begin=256, ends=(256,), pad=256)
    told = model_config(config, Names.PHI3, "float32", found)
    (there / "config.json").write_text(json.dumps(told))
    return folder


def changed(source: Path, tmp_path: Path, **facts: object) -> Path:
    """The model, with other facts in its config.json."""
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(source / "random" / "model.safetensors")
    told = json.loads((source / "random" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, **facts}))
    return folder


def refused(found: tuple[int, str, str]) -> str:
    status, out, err = found
    assert (status, out, err.count("\n")) == (2, "", 1), (out, err)
    return err


def imported(trainer: Run, source: Path, tmp_path: Path, *more: str) -> tuple[Path, Any]:
    out = tmp_path / "checkpoint"
    file = source / "untied-fp32.toml"
    status, told, err = trainer(
        "import", source / "random", "--config", file, "--out", out, "--json", *more
    )
    assert status == 0, err
    return out, json.loads(told)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"model_type": "qwen2"}, "model_type is 'qwen2'; expected one of phi3, llama"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"sliding_window": 2047}, "sliding_window is 2047"),
        ({"rope_scaling": {"type": "longrope"}}, "rotary positions are"),
        ({"num_hidden_layers": 2}, "num_hidden_layers is 2 and layers of the configuration 4"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True"),
        ({"model_type": "llama"}, "has no model.layers.0.mlp.gate_proj.weight and 19 more"),
        ({"vocab_size": 300}, "model.embed_tokens.weight is 257 x 48, and 300 x 48"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
    ],
)
def test_another_kind_of_model_is_not_imported(
    trainer: Run, source: Path, tmp_path: Path, facts: dict[str, object], expected: str
) -> None:
    folder = changed(source, tmp_path, **facts)
    file = source / "untied-fp32.toml"
    found = trainer("import", folder, "--config", file, "--out", tmp_path / "out")
    assert expected in refused(found)
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_named(trainer: Run, source: Path, tmp_path: Path) -> None:
    file = source / "untied-fp32.toml"
    out = ("--out", tmp_path / "out")
    assert "config.json: cannot read it" in refused(
        trainer("import", tmp_path, "--config", file, *out)
    )
    assert "no configuration 'tyni'; shipped are" in refused(
        trainer("import", source / "random", "--config", "tyni", *out)
    )
    assert "exists and is not an empty folder" in refused(
        trainer("import", source / "random", "--config", file, "--out", source)
    )
    (tmp_path / "config.json").write_text((source / "random" / "config.json").read_text())
    assert "no model.safetensors" in refused(trainer("import", tmp_path, "--config", file, *out))
    export = ("export", tmp_path, "--to", tmp_path / "to", "--root", tmp_path)
    assert "no checkpoint" in refused(trainer(*export))


def test_new_rows_of_the_vocabulary_are_the_mean(
    trainer: Run, source: Path, tmp_path: Path
) -> None:
    import torch

    from trainer.convert.tensors import Tensors

    out, told = imported(trainer, source, tmp_path, "--vocabulary", "260")
    assert told["vocabulary"] == 260
    model = read_config(str(source / "untied-fp32.toml")).model.with_vocabulary(384)
    rows = Tensors(out).read(next(parts(model, Names.PHI3)))
    assert torch.allclose(rows[257:], rows[:257].mean(0), atol=1e-6)
    file = source / "untied-fp32.toml"
    few = trainer(
        *("import", source / "random", "--config", file, "--vocabulary", "9"),
        *("--out", tmp_path / "few"),
    )
    assert "vocab_size is 257, and the model has a vocabulary of 9" in refused(few)


def test_only_a_trained_checkpoint_of_this_model_is_exported(
    trainer: Run, source: Path, tmp_path: Path
) -> None:
    checkpoint, told = imported(trainer, source, tmp_path)
    assert told["rope_base"] == 1e4
    root = tmp_path / "root"
    root.mkdir()
    file = str(source / "untied-fp32.toml")
    export = ["export", checkpoint, "--to", tmp_path / "to", "--root", root, "--config"]
    assert "imported and not trained since" in refused(trainer(*export, file))
    describe(checkpoint, Path(file), publish(root), phase="sft")
    assert "is another model" in refused(trainer(*export, "tiny"))
    elsewhere = [*export[:-2], tmp_path / "elsewhere", "--config"]
    assert "give the root that it was trained from" in refused(trainer(*elsewhere, file))
    strange = source / "random" / "config.json"
    assert "not a tokenizer.json" in refused(trainer(*export, file, "--tokenizer", strange))
    assert not (tmp_path / "to").exists()
    status, out, err = trainer(*export, file, "--max-shard-size", "0.00005", "--json")
    assert status == 0, err
    made = json.loads(out)
    assert made["files"] > 1
    assert made["phase"] == "sft"
    card = (tmp_path / "to" / "README.md").read_text()
    assert f"sha256:{made['manifest']}" in card
    assert "| Step | 5 |" in card
    assert f"| Parameters | {made['parameters']:,}, untied" in card


def test_files_that_are_cut_off_are_told_of(trainer: Run, source: Path, tmp_path: Path) -> None:
    checkpoint, _ = imported(trainer, source, tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    file = source / "untied-fp32.toml"
    describe(checkpoint, file, publish(root))
    data = next(checkpoint.glob("*.distcp"))
    size = data.stat().st_size
    with data.open("r+b") as opened:
        opened.seek(size // 2)
        opened.write(bytes(size - size // 2))
    export = ("export", checkpoint, "--to", tmp_path / "to", "--root", root, "--config", file)
    status, _, err = trainer(*export)
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot be read" in err
    assert not (tmp_path / "to").exists()
    with data.open("r+b") as opened:
        opened.truncate(size // 2)
    status, _, err = trainer(*export)
    assert status == 1
    assert "is not as it was written" in err


def test_weights_in_several_files_come_back(trainer: Run, source: Path, tmp_path: Path) -> None:
    from trainer.convert.tensors import Tensors

    checkpoint, _ = imported(trainer, source, tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    file = source / "untied-fp32.toml"
    describe(checkpoint, file, publish(root))
    out, back = tmp_path / "hf", tmp_path / "back"
    more = ("--names", "llama", "--max-shard-size", "0.00005")
    export = ("export", checkpoint, "--to", out, "--root", root, "--config", file)
    assert trainer(*export, *more)[0] == 0
    assert trainer("import", out, "--config", file, "--out", back)[0] == 0
    model = read_config(str(file)).model.with_vocabulary(VOCABULARY)
    for part in parts(model, Names.PHI3):
        assert Tensors(back).read(part).equal(Tensors(checkpoint).read(part)), part.name


def test_a_disk_without_room_is_seen_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreFull, match=r"1,000,000.0 GB are to be written and .* GB are free"),
        folder_with_room(tmp_path / "out", 10**15),
    ):
        pytest.fail("there is no such disk")
    assert not list(tmp_path.iterdir())
