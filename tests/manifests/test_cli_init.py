import json
from pathlib import Path

import pytest

from manifests import layout
from manifests.commits import read_commits
from manifests.fingerprint import canonical_json
from manifests.records import Bucket
from manifests.spec.read import read_mixture
from manifests.store import Store, open_store
from manifests.tokenizers import keep_tokenizer, tokenizer_of
from tests.manifests.command_line import Here, commit_corpus, manifest, records
from tests.manifests.exported import words
from tests.manifests.selectable import commit_records
from tests.manifests.tokened import chat, token_step


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def store(root: str) -> Store:
    store = open_store(root)
    commit_corpus(store)
    return store


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


def test_a_spec_has_a_source_for_each_bucket(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "first.toml"
    done = manifest("init", str(file), SCRIPTORIUM_ROOT=store.url)
    assert (done.returncode, done.stderr) == (0, "")
    command = f"python -m manifests plan {file} --root {store.url}"
    assert done.stdout == f"wrote {file}\nnext   {command}\n"
    mixture, text = read_mixture(file)
    assert mixture.name == "first"
    assert {s.name: s.steps for s in mixture.sources} == {
        "code": ("code@1",),
        "synthetic": ("syn@1",),
        "web": ("web@1",),
    }
    assert (mixture.tokenizer.name, mixture.tokenizer.end_of_document) == ("utf8-bytes@1", 256)
    (phase,) = mixture.phases
    assert {entry.name: entry.epochs for entry in phase.mix} == {
        "code": 1,
        "synthetic": 1,
        "web": 1,
    }
    assert phase.sequence_length == 64
    assert "8.76K tokens in 80 documents" in text


def test_the_shares_that_it_offers_are_a_mix(store: Store, tmp_path: Path, here: Here) -> None:
    file = tmp_path / "mix.toml"
    here.fine("init", str(file), "--root", store.url)
    head, _, rest = file.read_text().partition("[phases.pretrain.mix]\n")
    shares = [line.removeprefix("# ") for line in rest.splitlines() if '%"' in line]
    file.write_text("\n".join([head, 'tokens = "5K"', "[phases.pretrain.mix]", *shares]))
    assert sum(entry.share or 0 for entry in read_mixture(file)[0].phases[0].mix) == 1


def test_a_file_that_is_there_is_left_alone(store: Store, tmp_path: Path, here: Here) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    assert "is there already" in here.refused("init", str(file), "--root", store.url)
    assert file.read_text() == "mine"


def test_a_folder_that_is_not_there_is_one_line(store: Store, tmp_path: Path, here: Here) -> None:
    line = here.refused("init", str(tmp_path / "no" / "x.toml"), "--root", store.url)
    assert "cannot be written" in line


def test_a_root_without_records_is_refused(root: str, tmp_path: Path, here: Here) -> None:
    line = here.refused("init", str(tmp_path / "x.toml"), "--root", root)
    assert "no complete step of records" in line
    assert not (tmp_path / "x.toml").exists()


def test_steps_that_do_not_fit_are_named_with_the_reason(
    store: Store, tmp_path: Path, here: Here
) -> None:
    made = {"old": ("d", 30), "other": ("e", 10), "part": ("f", 10), "raw": ("0", 10)}
    for name, (fill, tokens) in made.items():
        rows = records(Bucket.LONG, 2, 2, tokens, name)
        tokenizer = "words@000000000000" if name == "other" else "utf8-bytes@1"
        commit_records(store, rows, name, fill, tokenizer=tokenizer, index=False)
    commit_records(store, records(Bucket.LONG, 1, 1, 5, "o"), "old", "9", tokenizer="utf8-bytes@1")
    part, raw = (
        next(read_commits(store, f"steps/{n}@1/{f * 32}")) for n, f in (("part", "f"), ("raw", "0"))
    )
    store.delete(layout.commit_file(part.step, part.task))
    web = f"steps/web@1/{'a' * 32}"
    about = {"address": web, "slices": 4, "inputs": [raw.step]}
    store.put(layout.step_file(web), canonical_json(about))
    file = tmp_path / "mix.toml"
    here.fine("init", str(file), "--root", store.url)
    mixture, text = read_mixture(file)
    assert mixture.source("long").steps == (f"old@1/{'d' * 8}",)
    left = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
    assert left == [
        f"old@1/{'9' * 8}: another version, run or form of the same step is taken",
        f"other@1/{'e' * 8}: counted with words@000000000000",
        f"part@1/{'f' * 8}: not complete",
        f"raw@1/{'0' * 8}: another step was made from it",
    ]


def test_of_several_forms_of_the_same_records_one_is_taken(
    root: str, tmp_path: Path, here: Here
) -> None:
    store, chats = open_store(root), [chat("a", ("user", "Hi"), ("assistant", "Yes?"))]
    read = token_step(store, "quick_tokens", chats)
    again = token_step(store, "quick_chat_tokens", chats)
    for step in (read, again):  # as if both were of the same records
        about = {"address": step, "slices": 1, "inputs": ["steps/quick_screened@1/" + "d" * 32]}
        store.put(layout.step_file(step), canonical_json(about))
    here.fine("init", str(tmp_path / "a.toml"), "--root", root)
    (source,) = read_mixture(tmp_path / "a.toml")[0].sources
    assert source.steps == ("quick_tokens@1",)
    assert (
        "quick_chat_tokens@1/dddddddd: another version, run or form"
        in (tmp_path / "a.toml").read_text()
    )


def test_the_token_that_closes_documents_is_found_in_the_tokenizer(
    root: str, tmp_path: Path, here: Here
) -> None:
    store = open_store(root)
    kept = words(tmp_path / "small", "the", "cat", specials=["<|im_end|>", "<|endoftext|>"])
    keep_tokenizer(store, kept)
    name = tokenizer_of(kept).name
    commit_records(store, records(Bucket.WEB, 1, 9, 9, "w"), tokenizer=name)
    here.fine("init", str(tmp_path / "a.toml"), "--root", root)
    tokenizer = read_mixture(tmp_path / "a.toml")[0].tokenizer
    assert (tokenizer.name, tokenizer.end_of_document) == (name, 4)


def test_a_tokenizer_that_the_root_lacks_has_to_be_looked_up(
    root: str, tmp_path: Path, here: Here
) -> None:
    store = open_store(root)
    commit_records(store, records(Bucket.WEB, 1, 9, 9, "w"), tokenizer="gone@0123456789ab")
    here.fine("init", str(tmp_path / "a.toml"), "--root", root)
    assert "end_of_document = 0 # EDIT: not found" in (tmp_path / "a.toml").read_text()


def test_a_template_gets_the_tokenizer_of_the_root(
    store: Store, tmp_path: Path, here: Here
) -> None:
    file = tmp_path / "sft.toml"
    arguments = ("init", str(file), "--root", store.url, "--template", "phi4_sft", "--json")
    said = json.loads(here.fine(*arguments))
    mixture, text = read_mixture(file)
    assert said["file"] == str(file)
    assert said["sources"] == [source.name for source in mixture.sources]
    assert said["next"].endswith(f" plan {file} --root {store.url}")
    assert mixture.tokenizer.name == "utf8-bytes@1"
    assert not text.startswith("#:schema")


def test_an_unknown_template_is_refused_and_the_known_are_named(
    store: Store, tmp_path: Path, here: Here
) -> None:
    arguments = ("init", str(tmp_path / "a.toml"), "--root", store.url, "--template", "phi5")
    assert "phi4_pretrain" in here.refused(*arguments)
