import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.layout import MANIFEST_OBJECTS
from manifests.objects.refs import Refs
from manifests.store import Store, open_store
from tests.manifests.command_line import REPOSITORY, SPEC, Here, commit_corpus


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path, here: Here) -> Store:
    """A root with demo@1 and demo@2, of which the first is tagged, and other@1."""
    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    file = tmp_path / "spec.toml"
    for text, message in (
        (SPEC, "first"),
        (SPEC.replace("seed = 7", "seed = 8"), "second"),
        (SPEC.replace('"demo"', '"other"'), "third"),
    ):
        file.write_text(text)
        here.fine("build", str(file), "--root", store.url, "-m", message)
    here.fine("tag", "demo@1", "best", "--root", store.url)
    return store


def digest(store: Store, ref: str) -> str:
    return Refs(store).resolve(ref).digest


def test_names_are_listed_with_their_newest_manifest(store: Store, here: Here) -> None:
    lines = here.fine("list", "--root", store.url).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["demo@2", digest(store, "demo")[:12]],
        ["other@1", digest(store, "other")[:12]],
    ]
    said = json.loads(here.fine("list", "--root", store.url, "--json"))["manifests"]
    assert [(one["ref"], one["message"]) for one in said] == [
        ("demo@2", "second"),
        ("other@1", "third"),
    ]


def test_the_versions_of_a_name_are_listed_the_newest_first(store: Store, here: Here) -> None:
    arguments = ("--root", store.url, "--json")
    said = json.loads(here.fine("list", "demo", *arguments))["manifests"]
    assert [(one["ref"], one["tags"]) for one in said] == [("demo@2", []), ("demo@1", ["best"])]
    log = json.loads(here.fine("show", "demo@best", "--log", *arguments))["versions"]
    assert log == said
    assert "there is demo" in here.refused("list", "dema", "--root", store.url)


def test_an_empty_root_says_how_to_begin(tmp_path: Path, here: Here) -> None:
    assert "build` makes one" in here.fine("list", "--root", str(tmp_path))
    assert json.loads(here.fine("list", "--root", str(tmp_path), "--json")) == {"manifests": []}


@pytest.mark.parametrize("ref", ["demo@1", "demo@best", "sha256:"])
def test_a_manifest_is_shown_by_any_of_its_names(ref: str, store: Store, here: Here) -> None:
    first = digest(store, "demo@1")
    asked = ref + first[:16] if ref == "sha256:" else ref
    out = here.fine("show", asked, "--root", store.url)
    assert out.splitlines()[0] == f"sha256:{first}"
    assert ("demo@1" in out) == (ref != "sha256:")
    assert "phase sft after pretrain: " in out
    said = json.loads(here.fine("show", asked, "--root", store.url, "--json"))
    assert (said["digest"], said["manifest"]["seed"]) == (first, 7)


def test_one_phase_alone(store: Store, here: Here) -> None:
    out = here.fine("show", "demo", "--phase", "sft", "--root", store.url)
    assert "phase sft" in out
    assert "phase pretrain" not in out
    said = json.loads(here.fine("show", "demo", "--phase", "sft", "--root", store.url, "--json"))
    assert said["phase"]["name"] == "sft"
    line = here.refused("show", "demo", "--phase", "dpo", "--root", store.url)
    assert line.endswith("it has pretrain, sft")


def test_the_spec_comes_back_as_it_was_written(store: Store, here: Here) -> None:
    assert here.fine("show", "demo@1", "--spec", "--root", store.url) == SPEC
    by_digest = f"sha256:{digest(store, 'demo@1')}"
    assert here.fine("show", by_digest, "--spec", "--root", store.url) == SPEC
    said = json.loads(here.fine("show", "demo@2", "--spec", "--root", store.url, "--json"))
    assert "seed = 8" in said["spec"]


def test_what_is_not_there_is_one_line(store: Store, here: Here) -> None:
    root = ("--root", store.url)
    assert "versions 1 to 2" in here.refused("show", "demo@9", *root)
    assert "best" in here.refused("show", "demo@worst", *root)
    assert "give one of them" in here.refused("show", "demo", "--spec", "--log", *root)
    digest_ref = f"sha256:{digest(store, 'demo')}"
    assert "a digest has no log" in here.refused("show", digest_ref, "--log", *root)
    assert "a tag belongs to a name" in here.refused("tag", digest_ref, "x", *root)
    assert "NAME@TAG" in here.refused("untag", "demo", *root)
    assert "demo" in here.refused("untag", "demo@worst", *root)


def test_a_tag_moves_and_is_taken_off(store: Store, here: Here) -> None:
    root = ("--root", store.url)
    moved = here.fine("tag", "demo", "best", "-m", "better", *root)
    assert moved == f"demo@best is sha256:{digest(store, 'demo@2')}\n"
    assert here.fine("untag", "demo@best", *root) == "demo@best is taken off\n"
    assert "best" in here.refused("show", "demo@best", *root)
    assert [one.digest for one in Refs(store).tag_log("demo", "best")] == [
        digest(store, "demo@1"),
        digest(store, "demo@2"),
        "",
    ]


def test_garbage_goes_only_when_told_to(store: Store, here: Here) -> None:
    orphan = f"{MANIFEST_OBJECTS}ab/ab{'0' * 62}.json"
    store.put(orphan, b"{}")
    before = set(store.list(MANIFEST_OBJECTS))
    root = ("--root", store.url)
    assert "nothing is deleted yet" not in here.fine("gc", *root)
    out = here.fine("gc", "--grace", "0s", *root)
    assert orphan in out
    assert "nothing is deleted yet" in out
    assert set(store.list(MANIFEST_OBJECTS)) == before
    said = json.loads(here.fine("gc", "--grace", "0s", "--yes", "--json", *root))
    assert [one["key"] for one in said["garbage"]] == [orphan]
    assert said["collected"] == {"deleted": 1, "bytes": 2, "spared": 0}
    assert set(store.list(MANIFEST_OBJECTS)) == before - {orphan}
    assert "not a time" in here.refused("gc", "--grace", "soon", *root)


def completions(words: str, **environment: str) -> list[str]:
    """What a shell is told at the end of these words."""
    code = "import sys; sys.argv[0] = 'manifest'; from manifests.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={
            **os.environ,
            **environment,
            "_MANIFEST_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
        check=True,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_a_shell_completes_commands_and_manifests(store: Store) -> None:
    assert completions("manifest s") == ["schema", "show", "sign", "step"]
    assert completions("manifest show ") == []
    assert completions("manifest show d", SCRIPTORIUM_ROOT=store.url) == ["demo"]
    assert completions(f"manifest show --root {store.url} demo@") == [
        "demo@1",
        "demo@2",
        "demo@best",
    ]
    assert completions("manifest list ", SCRIPTORIUM_ROOT=store.url) == ["demo", "other"]
    assert completions("manifest show x", SCRIPTORIUM_ROOT="nothing://there") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one(shell: str, here: Here, tmp_path: Path) -> None:
    script = here.fine("completion", shell)
    assert f"_MANIFEST_COMPLETE={shell}_complete" in script
    if found := shutil.which(shell):
        file = tmp_path / "script"
        file.write_text(script)
        subprocess.run([found, "-n", str(file)], check=True)


def test_the_schema_is_that_of_the_reader(here: Here) -> None:
    schema = json.loads(here.fine("schema"))
    assert {"sources", "phases", "tokenizer"} <= set(schema["properties"])


def test_a_bucket_is_as_good_a_root(bucket: str, tmp_path: Path, here: Here) -> None:
    root = f"s3://{bucket}/some/prefix"
    store = open_store(root)
    commit_corpus(store)
    file = tmp_path / "demo.toml"
    here.fine("init", str(file), "--root", root)
    assert here.fine("build", str(file), "--root", root).startswith("demo@1 ")
    assert "unchanged" in here.fine("build", str(file), "--root", root)
    here.fine("tag", "demo", "best", "--root", root)
    assert here.fine("show", "demo@best", "--spec", "--root", root) == file.read_text()
    assert "best" in here.fine("list", "--root", root)
    assert json.loads(here.fine("gc", "--grace", "0s", "--json", "--root", root))["garbage"] == []
