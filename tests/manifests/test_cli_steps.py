import json
from pathlib import Path

import pytest

from manifests import layout
from manifests.commits import read_commits
from manifests.store import Store, open_store
from tests.manifests.command_line import Here, commit_corpus


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    return store


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


def test_every_step_is_a_line_with_what_a_spec_needs(store: Store, here: Here) -> None:
    lines = here.fine("step", "list", "--root", store.url).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["code@1/cccccccc", "record", "2/2", "20", "1.69K", "utf8-bytes@1", "code", "1.69K"],
        ["syn@1/bbbbbbbb", "record", "4/4", "40", "2.18K", "utf8-bytes@1", "synthetic", "2.18K"],
        ["web@1/aaaaaaaa", "record", "4/4", "80", "8.76K", "utf8-bytes@1", "web", "8.76K"],
    ]


def test_a_step_that_is_not_complete_says_how_far_it_is(store: Store, here: Here) -> None:
    web = f"steps/web@1/{'a' * 32}"
    store.delete(layout.commit_file(web, next(read_commits(store, web)).task))
    store.delete(layout.index_file(web))
    out = here.fine("step", "list", "--root", store.url)
    assert "3/4  not complete" in out.splitlines()[3]


def test_index_and_commits_tell_the_same(store: Store, here: Here) -> None:
    listing = ("step", "list", "--root", store.url, "--json")
    before = here.fine(*listing)
    for name in ("web@1", "syn@1"):
        store.delete(layout.index_file(f"steps/{name}/{'a' * 32 if name == 'web@1' else 'b' * 32}"))
    assert here.fine(*listing) == before
    web = f"steps/web@1/{'a' * 32}"
    store.put(layout.index_file(web), b"not Parquet")
    assert here.fine(*listing) == before


def test_json_has_whole_numbers(store: Store, here: Here) -> None:
    code, _, web = json.loads(here.fine("step", "list", "--root", store.url, "--json"))["steps"]
    assert code["step"] == f"steps/code@1/{'c' * 32}"
    assert web["complete"] is True
    assert (web["rows"], web["tokens"], web["slices"], web["committed"]) == (80, 8760, 4, 4)
    assert web["buckets"] == {"web": {"rows": 80, "tokens": 8760}}
    assert web["bytes"] == sum(commit.data.bytes for commit in read_commits(store, web["step"]))


def test_a_root_without_steps_says_so(tmp_path: Path, here: Here) -> None:
    assert here.fine("step", "list", "--root", str(tmp_path)) == f"no steps below {tmp_path}\n"


def test_the_root_may_come_from_the_environment(
    store: Store, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = here("step", "list")
    assert (status, "SCRIPTORIUM_ROOT" in err) == (2, True)
    monkeypatch.setenv("SCRIPTORIUM_ROOT", store.url)
    assert "web@1" in here.fine("step", "list")
