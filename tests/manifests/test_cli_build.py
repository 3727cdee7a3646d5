import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from manifests.layout import MANIFEST_OBJECTS
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC, Here, commit_corpus, manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    return store


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "demo.toml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def edit(spec: Path) -> Callable[[str, str], Path]:
    def change(old: str, new: str) -> Path:
        assert old in SPEC
        spec.write_text(SPEC.replace(old, new))
        return spec

    return change


def files(store: Store) -> set[str]:
    return {os.path.join(folder, name) for folder, _, names in os.walk(store.url) for name in names}


def test_a_plan_writes_nothing_and_says_what_a_build_would_be(
    store: Store, spec: Path, here: Here
) -> None:
    before = files(store)
    said = json.loads(here.fine("plan", str(spec), "--root", store.url, "--json"))
    assert files(store) == before
    assert (said["newest"], said["unchanged"]) == (None, False)
    dry = here.fine("build", str(spec), "--root", store.url, "--json", "--dry-run")
    assert json.loads(dry) == said
    assert files(store) == before
    built = json.loads(here.fine("build", str(spec), "--root", store.url, "--json"))
    assert (built["ref"], built["version"], built["unchanged"]) == ("demo@1", 1, False)
    assert built["digest"] == said["digest"]
    assert built["manifest"] == said["manifest"]


def test_the_numbers_of_a_plan_add_up(store: Store, spec: Path, here: Here) -> None:
    said = json.loads(here.fine("plan", str(spec), "--root", store.url, "--json"))["manifest"]
    pretrain, sft = said["phases"]
    whole = {one["source"]: one for one in pretrain["sources"] if not one["stratum"]}
    assert pretrain["samples"] == pretrain["steps"] * 8
    assert sum(one["samples"] for one in whole.values()) == pretrain["samples"]
    assert abs(whole["web"]["share"] - 0.4) < 1 / pretrain["samples"]
    assert whole["synthetic"]["asked"] == "60%"
    strata = [one for one in pretrain["sources"] if one["stratum"]]
    assert {one["stratum"] for one in strata} == {"below-55", "from-55"}
    assert sum(one["samples"] for one in strata) == whole["synthetic"]["samples"]
    assert sft["layouts"] == ["document"]
    (after,) = [
        one for one in sft["sources"] if one["source"] == "synthetic" and not one["stratum"]
    ]
    assert after["epochs_so_far"] == pytest.approx(whole["synthetic"]["epochs"] + after["epochs"])
    assert any("synthetic" in one and "passed over" in one for one in said["remarks"])


def test_a_plan_is_a_table_for_each_phase(store: Store, spec: Path) -> None:
    done = manifest("plan", str(spec), "--root", store.url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("demo: ")
    assert "\x1b" not in done.stdout
    heads = [line for line in lines if line.startswith("phase ")]
    assert [head.split()[1] for head in heads] == ["pretrain:", "sft"]
    assert [line.split()[0] for line in lines[4:9]] == [
        "synthetic",
        "below-55",
        "from-55",
        "web",
        "total",
    ]
    assert any(line.startswith("warning: synthetic") for line in lines)
    assert lines[-1].startswith("nothing written; it would be sha256:")


def test_a_build_is_published_with_who_when_and_why(store: Store, spec: Path, here: Here) -> None:
    out = here.fine("build", str(spec), "--root", store.url, "-m", "the first")
    (version,) = Refs(store).log("demo")
    assert out.splitlines()[0] == f"demo@1 sha256:{version.digest}"
    assert out.endswith(f" show demo@1 --root {store.url}\n")
    assert (version.message, version.number) == ("the first", 1)
    assert version.author
    assert version.at.endswith("+00:00")
    assert Manifest(store, version.digest).root.name == "demo"


def test_the_same_again_changes_nothing(store: Store, spec: Path, here: Here) -> None:
    here.fine("build", str(spec), "--root", store.url)
    before = files(store)
    out = here.fine("build", str(spec), "--root", store.url)
    assert out.splitlines()[1] == "unchanged: it was the newest already"
    assert files(store) == before
    plan = here.fine("plan", str(spec), "--root", store.url)
    assert plan.splitlines()[-1].endswith("as demo@1 has it")


def test_another_spec_is_the_next_version_and_expect_guards_it(
    store: Store, spec: Path, here: Here, edit: Callable[[str, str], Path]
) -> None:
    build = ("build", str(spec), "--root", store.url)
    status, _, err = here(*build, "--expect", "3")
    assert (status, "it has no version yet, not 3" in err) == (1, True)
    here.fine(*build, "--expect", "0")
    edit("seed = 7", "seed = 8")
    status, _, err = here(*build, "--expect", "0")
    assert (status, "its newest version is 1, not 0" in err) == (1, True)
    assert here.fine(*build, "--expect", "1").startswith("demo@2 ")
    assert [version.number for version in Refs(store).log("demo")] == [1, 2]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"40%"', '"50%"', "the shares sum to 110 %"),
        ("web@1", "wib@1", "no step fits"),
        ("max_epochs = 8", "max_epochs = 1", "synthetic"),
        ("utf8-bytes@1", "words@000000000000", "utf8-bytes@1"),
        ("sequence_length = 64", "sequence_length = 64000", "not one window of 64000"),
        ("[phases.sft]", "[phases.sft", "not TOML"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    old: str,
    new: str,
    what: str,
    store: Store,
    here: Here,
    edit: Callable[[str, str], Path],
) -> None:
    before = files(store)
    for verb in ("plan", "build"):
        assert what in here.refused(verb, str(edit(old, new)), "--root", store.url)
    assert files(store) == before


def test_a_spec_or_a_root_that_is_not_there_is_one_line(
    store: Store, spec: Path, tmp_path: Path, here: Here
) -> None:
    assert "no such file" in here.refused("plan", str(tmp_path / "no.toml"), "--root", store.url)
    nowhere = tmp_path / "nowhere"
    assert "no steps" in here.refused("build", str(spec), "--root", str(nowhere))
    assert not nowhere.exists()


def test_a_first_spec_can_be_planned_and_built_as_it_is(
    store: Store, tmp_path: Path, here: Here
) -> None:
    file = tmp_path / "first.toml"
    here.fine("init", str(file), "--root", store.url)
    said = json.loads(here.fine("plan", str(file), "--root", store.url, "--json"))
    (phase,) = said["manifest"]["phases"]
    assert [one["source"] for one in phase["sources"]] == ["code", "synthetic", "web"]
    assert all(one["epochs"] == pytest.approx(1, abs=0.2) for one in phase["sources"])
    assert here.fine("build", str(file), "--root", store.url).startswith("first@1 ")


def test_a_root_that_cannot_be_written_to_is_wrong_input(
    store: Store, spec: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, key: str, data: bytes) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(store), "create", refuse)
    assert "cannot be written to" in here.refused("build", str(spec), "--root", store.url)
    assert not list(store.list(MANIFEST_OBJECTS))
