import json

import pytest

from manifests.store import Store, open_store
from tests.manifests.command_line import Here, commit_corpus, manifest
from tests.manifests.located import LAST_CHANGE, SPEC, publish


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root with demo@1, demo@2 without the last change, demo@3 with code instead of the web."""
    folder = tmp_path_factory.mktemp("compare")
    store = open_store(str(folder / "root"))
    commit_corpus(store)
    publish(store, SPEC, folder)
    publish(store, SPEC.split(LAST_CHANGE)[0], folder)
    publish(store, SPEC.replace('from = "web@1"', 'from = "code@1"'), folder)
    return store


def test_two_versions_are_compared_from_the_spec_to_the_order(store: Store) -> None:
    done = manifest("diff", "demo@1", "demo@2", "--root", store.url)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("demo@1 (sha256:")
    assert '  changes.2: {"budget": 20000, ' in done.stdout
    assert "the same shards" in lines
    assert "phase pretrain: the orders first differ at position 160, in step 20" in lines
    assert "  30 steps, 320 samples of 64 tokens -> 30 steps, 240 samples of 64 tokens" in lines
    assert any(line.split()[:4] == ["web", "167", "->", "127"] for line in lines)


def test_a_manifest_equals_itself(store: Store, here: Here) -> None:
    out = here.fine("diff", "demo@2", "demo@2", "--root", store.url)
    assert out.splitlines()[1:] == ["the same manifest"]
    said = json.loads(here.fine("diff", "demo@2", "demo@2", "--root", store.url, "--json"))
    assert said["equal"]
    assert said["old"] == said["new"]


def test_other_shards_are_told_with_what_came_and_went(store: Store, here: Here) -> None:
    status, out, _ = here("diff", "demo@1", "demo@3", "--root", store.url)
    assert status == 1
    lines = [line.split() for line in out.splitlines()]
    # Of 80 documents of the web, two were removed; of code there are 20.
    assert ["web", "+2", "-4", "-58", "-6,924"] in lines
    assert ["licence", "CC0-1.0", "-58", "-6,866"] in lines
    assert sum(line[:3] == ["web:", "removed", "web@1/aaaaaaaa"] for line in lines) == 4
    assert sum(line[:3] == ["web:", "added", "code@1/cccccccc"] for line in lines) == 2
    status, out, _ = here("diff", "demo@1", "demo@3", "--root", store.url, "--json")
    said = json.loads(out)
    assert (status, said["equal"]) == (1, False)
    assert [(leaf["leaf"], leaf["removed"], leaf["added"]) for leaf in said["leaves"]] == [
        ("web", 4, 2)
    ]
    assert len(said["leaves"][0]["shards"]) == 6
    assert said["phases"][0]["position"] == 0


def test_what_a_manifest_trains_on_is_told_by_all_that_is_asked(store: Store, here: Here) -> None:
    out = here.fine("explain", "demo@1", "--root", store.url, "--by", "step", "--by", "licence")
    lines = out.splitlines()
    assert lines[0] == "phase pretrain: 20.5K tokens"
    assert [line.split()[0] for line in lines if line.startswith("  ")][:3] == [
        "step",
        "web@1/aaaaaaaa",
        "syn@1/bbbbbbbb",
    ]
    assert any(line.split()[0] == "CC0-1.0" and "100.0%" in line for line in lines if line)
    assert "phase sft after pretrain: " in out
    assert "share so far" in out
    only = here.fine("explain", "demo@1", "--phase", "sft", "--root", store.url)
    assert "phase pretrain" not in only
    assert only.splitlines()[1].split()[:2] == ["source", "share"]


def test_the_same_in_json(store: Store, here: Here) -> None:
    arguments = ("--root", store.url, "--json", "--by", "leaf", "--by", "teacher")
    pretrain, sft = json.loads(here.fine("explain", "demo@1", *arguments))["phases"]
    assert [shares["by"] for shares in pretrain["shares"]] == ["leaf", "teacher"]
    leaves = pretrain["shares"][0]["lines"]
    assert sum(line["phase"]["tokens"] for line in leaves) == pretrain["tokens"] == 320 * 64
    assert sft["tokens_so_far"] == sft["tokens"] + pretrain["tokens"]


def test_a_phase_or_a_manifest_that_is_not_there_is_refused(store: Store, here: Here) -> None:
    refused = here.refused("explain", "demo", "--phase", "dpo", "--root", store.url)
    assert refused == "demo has no phase dpo; it has pretrain, sft"
    assert "there is demo" in here.refused("diff", "demo", "dema", "--root", store.url)
