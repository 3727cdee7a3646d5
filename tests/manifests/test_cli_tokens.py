"""The command line over token steps: from the list of steps to what a sample holds."""

import json
from pathlib import Path

import pytest

from manifests.records import Bucket
from manifests.spec.read import read_mixture
from manifests.store import Store, open_store
from tests.manifests.command_line import Here, records
from tests.manifests.committed import item
from tests.manifests.selectable import commit_records
from tests.manifests.tokened import SPEC, joined, mixed, text, texts, token_step

MADE = [mixed("a", 12), [*texts("b", 40), text("long", "long text " * 50)]]

TAKEDOWN = """
[[changes]]
phase = "pretrain"
at_step = 3
remove = [{{ records = ["{id}"] }}]
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def step(store: Store) -> str:
    return token_step(store, "made_tokens", *MADE, files=2)


@pytest.mark.parametrize("indexed", [False, True])
def test_token_steps_are_listed_with_what_a_spec_needs(
    store: Store, step: str, here: Here, indexed: bool
) -> None:
    if indexed:
        here.fine("step", "index", "made_tokens", "--root", store.url)
    (line, _) = json.loads(here.fine("step", "list", "--root", store.url, "--json"))["steps"]
    assert (line["row_type"], line["tokenizers"]) == ("tokendocument", ["utf8-bytes@1"])
    ids = sum(len(joined(made)) for made in MADE)
    assert (line["rows"], line["tokens"]) == (53, ids - 53)
    assert line["bytes"] > 2 * ids
    assert sorted(line["buckets"]) == ["dpo", "sft", "web"]
    assert "tokendocument" in here.fine("step", "list", "--root", store.url)
    assert "complete, 2 of 2" in here.fine("step", "verify", "made_tokens@1", "--root", store.url)


def test_a_first_spec_is_over_what_was_tokenized(
    store: Store, step: str, here: Here, tmp_path: Path
) -> None:
    commit_records(store, records(Bucket.CODE, 1, 9, 9, "w"), "more", tokenizer="utf8-bytes@1")
    file = tmp_path / "a.toml"
    here.fine("init", str(file), "--root", store.url)
    mixture, _ = read_mixture(file)
    assert {source.steps for source in mixture.sources} == {("made_tokens@1",)}
    assert [source.name for source in mixture.sources] == ["dpo", "sft", "web"]
    assert (mixture.tokenizer.name, mixture.tokenizer.end_of_document) == ("utf8-bytes@1", 256)
    text = file.read_text()
    assert "more@1/aaaaaaaa: not tokenized, as others are" in text
    assert "made_tokens_records@1/dddddddd: another step was made from it" in text
    here.fine("build", str(file), "--root", store.url)


def test_the_end_of_document_is_that_of_the_token_files(
    store: Store, here: Here, tmp_path: Path
) -> None:
    token_step(store, "made_tokens", *MADE, tokenizer="other@0123456789ab")
    here.fine("init", str(tmp_path / "a.toml"), "--root", store.url)
    assert "end_of_document = 256 # as in the token files" in (tmp_path / "a.toml").read_text()


def test_a_manifest_of_ids_is_looked_at_like_any_other(
    store: Store, step: str, here: Here, tmp_path: Path
) -> None:
    root = ("--root", store.url)
    spec = tmp_path / "ids.toml"
    spec.write_text(SPEC.format(step="made_tokens@1"))
    here.fine("plan", str(spec), *root)
    here.fine("build", str(spec), *root)
    assert "53" in here.fine("show", "ids", *root)
    for by in ("source", "bucket", "generator", "step", "origin"):
        here.fine("explain", "ids", "--by", by, *root)
    found = here.fine("at", "sft", "3", "ids", *root, "--json", "--text", "9")
    pieces = [piece for one in json.loads(found)["batch"]["samples"] for piece in one["documents"]]
    by_id = {item(one.name): one for made in MADE for one in made}
    assert len(pieces) == 2
    assert all(by_id[one["id"]].text.startswith(one["text"]) and one["text"] for one in pieces)
    assert [one["tokens"] for one in pieces] == [len(by_id[one["id"]].ids) for one in pieces]
    (place,) = json.loads(here.fine("where", item("long"), "ids", *root, "--json"))["records"]
    assert place["standing"] == "trained"
    assert place["holdings"][0]["step"] == step
    for level in ("L3", "L5"):
        here.fine("verify", "ids", "--level", level, *root)
    spec.write_text(spec.read_text() + TAKEDOWN.format(id=item("long")))
    here.fine("rebase", "ids", str(spec), "--phase", "pretrain", "--at-step", "3", "--yes", *root)
    status, told, _ = here("diff", "ids@1", "ids@2", *root)
    assert status == 1
    assert "all" in told
    here.fine("verify", "ids", "--level", "L5", *root)
    gone = json.loads(here.fine("where", item("long"), "ids", *root, "--json"))
    assert gone["records"][0]["removed"]
    here.fine("gc", *root)
