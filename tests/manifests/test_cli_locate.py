import json
from pathlib import Path

import pytest

from manifests.store import Store, open_store
from tests.manifests.command_line import Here, commit_corpus, manifest
from tests.manifests.located import GONE, NEVER, SPEC, SYNTHETIC, WEB, publish

NAME = SYNTHETIC[0][3].id


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("locate")
    store = open_store(str(folder / "root"))
    commit_corpus(store)
    publish(store, SPEC, folder)
    return store


def test_a_record_is_told_with_all_its_places(store: Store) -> None:
    done = manifest("where", NAME, "demo", "--root", store.url)
    assert (done.returncode, done.stderr) == (0, "")
    first, holding, head, *rows = done.stdout.splitlines()
    assert first.startswith(f"{NAME}: trained on: {len(rows)} samples, ")
    assert holding.startswith("  synthetic/below-55: row 3 of steps/syn@1/")
    assert head.split() == ["phase", "step", "index", "position", "source", "epoch", "sample"]
    assert {row.split()[0] for row in rows} == {"pretrain", "sft"}


def test_the_places_of_where_are_the_places_of_at(store: Store, here: Here) -> None:
    said = json.loads(here.fine("where", NAME, "demo", "--root", store.url, "--json"))
    (record,) = said["records"]
    assert record["standing"] == "trained"
    for one in record["occurrences"][:4]:
        arguments = (one["phase"], str(one["step"]), "demo", "--root", store.url, "--json")
        batch = json.loads(here.fine("at", *arguments))["batch"]
        sample = batch["samples"][one["index"]]
        assert [sample[key] for key in ("position", "leaf", "epoch", "sample")] == [
            one[key] for key in ("position", "leaf", "epoch", "sample")
        ]
        assert NAME in [piece["id"] for piece in sample["documents"]]


def test_what_a_step_has_seen_is_counted(store: Store, here: Here) -> None:
    arguments = ("--phase", "sft", "--until-step", "5", "--root", store.url)
    out = here.fine("where", NAME, "demo", *arguments)
    seen = [line.split()[-1] for line in out.splitlines()[3:]]
    assert f"; {seen.count('yes')} of them before step 5 of sft" in out.splitlines()[0]
    assert set(seen) == {"yes", "no"}
    (record,) = json.loads(here.fine("where", NAME, "demo", *arguments, "--json"))["records"]
    assert record["seen"] == seen.count("yes")


def test_ranks_are_told_where_the_layout_is_given(store: Store, here: Here) -> None:
    layout = ("--data-parallel", "2", "--micro-batch", "2", "--root", store.url)
    out = here.fine("where", NAME, "demo", *layout)
    assert out.splitlines()[2].split()[-3:] == ["rank", "micro", "step"]
    out = here.fine("at", "pretrain", "3", "demo", "--rank", "1", *layout)
    assert "4 of 8 samples" in out.splitlines()[0]
    assert out.count("; rank 1, micro step ") == 4
    assert "give both" in here.refused("where", NAME, "demo", *layout[2:])
    assert "of how many?" in here.refused("at", "sft", "3", "demo", "--rank", "1", *layout[4:])


def test_a_record_that_is_not_there_is_exit_status_1(store: Store, here: Here) -> None:
    absent = "f" * 32
    status, out, _ = here("where", NAME, NEVER, absent, GONE, "demo", "--root", store.url)
    assert status == 1
    lines = out.splitlines()
    (never,) = [line for line in lines if line.startswith(NEVER)]
    assert "removed; in steps/web@1/" in never
    assert never.endswith("which the manifest uses, but not selected")
    assert f"{absent}: in no shard of the manifest" in lines
    (gone,) = [line for line in lines if line.startswith(GONE)]
    assert gone.startswith(f"{GONE}: removed; trained on: ")
    assert "; only before a change, not any more" in out
    assert here("where", GONE, "demo", "--root", store.url)[0] == 0


def test_ids_come_from_a_file_too(store: Store, here: Here, tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    names = sorted(made.id for made in WEB[0][:3])
    file.write_text("\n".join(names))
    arguments = ("--ids", str(file), "--root", store.url, "--json")
    said = json.loads(here.fine("where", "demo", *arguments))["records"]
    assert [record["id"] for record in said] == names
    said = json.loads(here.fine("where", NAME, "demo", *arguments))["records"]
    assert [record["id"] for record in said] == [NAME, *names]
    assert "no record" in here.refused("where", "demo", "--root", store.url)


def test_a_batch_shows_its_texts_when_asked(store: Store, here: Here) -> None:
    arguments = ("at", "pretrain", "0", "demo", "--root", store.url)
    plain, shown = here.fine(*arguments), here.fine(*arguments, "--text", "8")
    assert "About" not in plain
    assert "  About we" in shown
    assert plain.splitlines()[0] == (
        "phase pretrain, step 0 of 30: positions 0 to 7; 8 samples of 64 tokens, 512 tokens"
    )
    head, *sources = [line.split()[0] for line in plain.splitlines()[1:4]]
    assert (head, sorted(sources)) == ("source", ["synthetic", "web"])
    assert "step 99" in here.refused("at", "pretrain", "99", *arguments[3:])
