"""The page of changes says what the commands say, and its examples do what it says."""

import re
from pathlib import Path

import pytest

from manifests.index import build_index
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.store import Store, open_store
from tests.manifests.command_line import Here, commit_corpus
from tests.manifests.committed import address
from tests.manifests.trained import held

PAGE = (Path(__file__).parents[2] / "docs" / "manifests-change.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OUTPUTS = [text for language, text in BLOCKS if not language]
(SPEC,) = [text for language, text in BLOCKS if language == "toml"]
PRETRAIN = ("--phase", "pretrain", "--at-step")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    build_index(store, address("code", "c"))
    monkeypatch.setenv("SCRIPTORIUM_ROOT", store.url)
    monkeypatch.chdir(tmp_path)
    return store


def written(**edits: str) -> None:
    for name, text in edits.items():
        assert text != SPEC or name == "demo"
        Path(f"{name}.toml").write_text(text)


def two_records(store: Store) -> list[str]:
    """Trained on before step 20 and after it."""
    seen = held(Manifest(store, Refs(store).resolve("demo").digest), "pretrain")
    early, late = (
        {record for here in part for record in here} for part in (seen[:160], seen[160:])
    )
    return sorted(early & late)[:2]


def shown(text: str, root: str) -> str:
    """As the page has it: digests mean nothing there, and the root is URL."""
    text = text.replace(root, "URL").replace("python -m manifests", "manifest")
    return re.sub(r"\b[0-9a-f]{12}([0-9a-f]{52})?\b", "DIGEST", text).rstrip()


def test_the_examples_of_the_page_print_what_it_shows(store: Store, here: Here) -> None:
    more = SPEC.replace('"80%"', '"70%"').replace('"20%"', '"30%"')
    more = more.replace('"web@1"', '["web@1", "code@1"]')
    clean = more.replace("seed = 7\n", 'seed = 7\nremove = [{ report = "gone.txt" }]\n')
    written(demo=SPEC, more=more, clean=clean)
    written(
        sft=SPEC.replace("epochs = 1", "epochs = 3"),
        sixty=SPEC.replace('"80%"', '"60%"').replace('"20%"', '"40%"'),
        other=clean.replace("seed = 7", "seed = 8"),
    )
    here.fine("build", "demo.toml")
    found = [here.fine("rebase", "demo", "more.toml", *PRETRAIN, "10")]
    here.fine("rebase", "demo", "more.toml", *PRETRAIN, "10", "--yes")
    found.append(here.fine("rebase", "demo", "more.toml", *PRETRAIN, "10", "--yes"))
    gone = two_records(store)
    Path("gone.txt").write_text("\n".join(gone))
    taken = here.fine("rebase", "demo", "clean.toml", *PRETRAIN, "20", "--yes")
    found.append(
        "\n".join(
            f"error: {here.refused('rebase', 'demo', *arguments)}"
            for arguments in (("clean.toml", *PRETRAIN, "900"), ("other.toml", *PRETRAIN, "30"))
        )
    )
    found.append(taken)
    here.fine("rebase", "demo@1", "sft.toml", "--phase", "sft", "--at-step", "0", "--yes")
    found.append(here.fine("merge", "demo@3", "demo@4"))
    here.fine("rebase", "demo@1", "sixty.toml", *PRETRAIN, "10", "--yes")
    status, out, _ = here("merge", "demo@3", "demo@5")
    assert status == 1
    found.append(out)
    after = held(Manifest(store, Refs(store).resolve("demo@3").digest), "pretrain")[160:]
    assert not any(set(gone) & records for records in after)
    assert [shown(text, store.url) for text in found] == [shown(text, "URL") for text in OUTPUTS]
