"""The outputs on docs/manifests-verify.md are those of its commands; digests and seconds aside."""

import re
import shlex
from pathlib import Path

import pytest

from manifests.levels.banned import parse_banned
from manifests.levels.findings import Kind, Level
from manifests.store import Store, open_store
from tests.manifests.command_line import REPOSITORY, SPEC, commit_corpus, manifest

PAGE = (REPOSITORY / "docs/manifests-verify.md").read_text("utf-8")
SHOWN = re.findall(r"```sh\n(.*?)\n```\n\n```\n(.*?)\n```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root with demo@1."""
    folder: Path = tmp_path_factory.mktemp("verify")
    store = open_store(str(folder / "root"))
    commit_corpus(store)
    (folder / "spec.toml").write_text(SPEC)
    assert manifest("build", str(folder / "spec.toml"), "--root", store.url).returncode == 0
    return store


def undigested(text: str) -> str:
    text = re.sub(r"\([0-9.]+ s\)", "(SECONDS)", text)
    text = re.sub(r"[0-9,]+ bytes", "BYTES", text)
    return re.sub(r"\b[0-9a-f]{64}\b|(?<=the sha256 )[0-9a-f]{12}", "DIGEST", text)


def test_the_outputs_on_the_page_are_what_the_command_prints(store: Store) -> None:
    sound, broken = SHOWN
    assert printed(store, sound[0]) == (0, undigested(sound[1]))
    keys = list(store.list("steps/web@1/"))
    data = [key for key in keys if "/data/" in key]
    store.put(data[0], store.get(data[0])[:-1] + b"?")
    store.delete(data[2])
    store.delete([key for key in keys if "/commits/" in key][1])
    assert printed(store, broken[0]) == (1, undigested(broken[1]))


def printed(store: Store, command: str) -> tuple[int, str]:
    words = [store.url if word == "URL" else word for word in shlex.split(command)[3:]]
    done = manifest(*words)
    assert done.stderr == ""
    return done.returncode, undigested(done.stdout.rstrip())


def test_all_levels_and_kinds_are_on_the_page() -> None:
    levels = re.findall(r"^\| (L[0-9]) (\w+) \|", PAGE, re.MULTILINE)
    assert levels == [(level.name, level.title) for level in Level]
    kinds = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert kinds == [str(kind) for kind in Kind]


def test_the_list_of_bans_on_the_page_is_one() -> None:
    (block,) = re.findall(r"```\n(# ids.*?)```", PAGE, re.DOTALL)
    assert len(parse_banned(block.splitlines(), "the page")) == 3
