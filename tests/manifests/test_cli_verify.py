import json
import sys
from pathlib import Path

import pytest

from manifests.objects.refs import Refs
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC, Here, commit_corpus, manifest


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path, here: Here) -> Store:
    """A root with demo@1."""
    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    file = tmp_path / "spec.toml"
    file.write_text(SPEC)
    here.fine("build", str(file), "--root", store.url)
    return store


def test_a_sound_manifest_is_a_line_a_level(store: Store, here: Here) -> None:
    root = ("--root", store.url)
    lines = here.fine("verify", "demo", *root).splitlines()
    assert lines[0] == f"sha256:{Refs(store).resolve('demo').digest}"
    assert lines[1].startswith("L0 metadata  no finding; 9 objects, 3 ranges, 12 shard rows")
    assert "resolved again from the spec and the tables: the same" in lines[2]
    assert lines[3].startswith("L1 presence  no finding; 8 data files, ")
    assert len(lines) == 4
    all_levels = here.fine("verify", "demo@1", "--level", "l5", "--sample", "2", *root)
    levels = [line[:12].strip() for line in all_levels.splitlines() if line.startswith("L")]
    assert levels == [
        "L0 metadata", "L1 presence", "L2 bytes", "L3 content", "L4 order", "L5 lineage",
    ]  # fmt: skip
    assert "L3 content   no finding; 2 data files" in all_levels


def test_findings_are_lines_and_the_status_tells(store: Store, here: Here) -> None:
    keys = [key for key in store.list("steps/web@1/") if "/data/" in key]
    store.delete(keys[0])
    status, out, err = here("verify", "demo", "--root", store.url)
    assert (status, err) == (1, "")
    assert f"L1 missing: {keys[0]}: is not there" in out.splitlines()
    assert "L1 presence  1 finding; 8 data files" in out
    status, out, _ = here("verify", "demo", "--root", store.url, "--json")
    said = json.loads(out)
    assert (status, said["ok"], said["sample"]) == (1, False, None)
    assert [level["level"] for level in said["levels"]] == ["L0", "L1"]
    assert said["levels"][1]["findings"] == [
        {"level": "L1", "kind": "missing", "where": keys[0], "what": "is not there"}
    ]
    assert said["levels"][1]["title"] == "presence"
    assert said["levels"][1]["checked"]["data files"] == 8


def test_many_findings_are_cut_but_not_in_json(
    store: Store, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["manifests.cli.verify"], "_SHOWN", 2)
    for key in store.list("steps/web@1/"):
        if "/data/" in key:
            store.delete(key)
    _, out, _ = here("verify", "demo", "--root", store.url)
    assert "L1 and 2 more findings (--json lists all)" in out
    assert sum(line.startswith("L1 missing") for line in out.splitlines()) == 2
    _, out, _ = here("verify", "demo", "--root", store.url, "--json")
    assert len(json.loads(out)["levels"][1]["findings"]) == 4


def test_what_is_banned_is_found(store: Store, here: Here, tmp_path: Path) -> None:
    file = tmp_path / "banned"
    file.write_text("licence:CC0-1.0\n")
    options = ("--root", store.url, "--level", "L5", "--banned", str(file))
    status, out, _ = here("verify", "demo", *options)
    assert status == 1
    assert out.count(" holds licence:CC0-1.0") == 12
    file.write_text("licence:unknown\n")
    found = here.fine("verify", "demo", *options)
    assert "no finding; 8 data files searched, 12 shard rows" in found
    file.write_text("license:unknown\n")
    assert "line 1" in here.refused("verify", "demo", *options)


def test_wrong_input_is_one_line(store: Store, here: Here, tmp_path: Path) -> None:
    root = ("--root", store.url)
    assert "there is demo" in here.refused("verify", "dema", *root)
    assert "give --level L2" in here.refused("verify", "demo", "--sample", "3", *root)
    file = str(tmp_path / "spec.toml")
    assert "give --level L5" in here.refused("verify", "demo", "--banned", file, *root)
    status, _, err = here("verify", "demo", "--level", "L6", *root)
    assert status == 2
    assert "L6" in err


def test_a_manifest_whose_root_is_gone_is_a_finding_by_name(store: Store, here: Here) -> None:
    digest = Refs(store).resolve("demo").digest
    store.delete(f"manifests/objects/{digest[:2]}/{digest}.json")
    status, out, _ = here("verify", "demo", "--root", store.url, "--level", "L5")
    assert status == 1
    assert "L0 missing" in out
    assert "L1 presence" not in out


def test_the_command_runs_as_a_process(store: Store) -> None:
    done = manifest("verify", "demo", "--level", "L5", "--json", SCRIPTORIUM_ROOT=store.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] is True
