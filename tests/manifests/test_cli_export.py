import json
from pathlib import Path

import pytest

from manifests.store import Store, open_store
from tests.manifests.command_line import Here
from tests.manifests.exported import leaf_table, manifest_of, texts
from tests.manifests.verified import small


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def ref(store: Store) -> str:
    """A manifest of one phase, whose tokens are those of its texts."""
    table = leaf_table(store, "web", texts(1, 2, 30))
    return f"sha256:{manifest_of(store, {'web': table}, {'web': 16}).digest}"


def test_a_phase_is_written_for_megatron(
    store: Store, ref: str, here: Here, tmp_path: Path
) -> None:
    out, root = str(tmp_path / "out"), ("--root", store.url)
    told = here.fine("export", "megatron", ref, out, "--seen-at", "/data/mix", *root)
    assert told == f"{out} is {ref} for megatron\n"
    assert (tmp_path / "out" / "blend.txt").read_text() == "16 /data/mix/web\n"
    assert json.loads((tmp_path / "out" / "blend.json").read_text())["samples"] == 16
    other = str(tmp_path / "other")
    said = json.loads(
        here.fine("export", "megatron", ref, other, "--phase", "train", *root, "--json")
    )
    assert said == {"digest": ref.removeprefix("sha256:"), "format": "megatron", "out": other}
    assert "--phase" not in here.refused("export", "megatron", ref, out, *root)


def test_several_phases_or_segments_have_to_be_chosen(
    store: Store, here: Here, tmp_path: Path
) -> None:
    ref, root = f"sha256:{small(store)}", ("--root", store.url)
    out = str(tmp_path / "out")
    line = here.refused("export", "megatron", ref, out, *root)
    assert line.endswith("give --phase with one of pretrain, sft")
    line = here.refused("export", "megatron", ref, out, "--phase", "dpo", *root)
    assert "pretrain, sft" in line
    line = here.refused("export", "megatron", ref, out, "--phase", "sft", "--segment", "3", *root)
    assert "from step 0" in line
    assert not (tmp_path / "out").exists()


def test_a_folder_for_hugging_face_and_a_description(
    store: Store, ref: str, here: Here, tmp_path: Path
) -> None:
    root = ("--root", store.url)
    out = tmp_path / "hf"
    assert here.fine("export", "hf", ref, str(out), *root) == f"{out} is {ref} for hf\n"
    assert {"README.md", "croissant.json", "manifest.json"} <= {file.name for file in out.iterdir()}
    assert "empty" in here.refused("export", "hf", ref, str(out), *root)
    file = tmp_path / "croissant.json"
    said = json.loads(here.fine("export", "croissant", ref, str(file), *root, "--json"))
    assert said["out"] == str(file)
    assert json.loads(file.read_text())["name"]
    assert "cannot be made" in here.refused("export", "croissant", ref, str(file), *root)
    assert "there is no such" in here.refused("export", "hf", "sha256:" + "0" * 64, "x", *root)
