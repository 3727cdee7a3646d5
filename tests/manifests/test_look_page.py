"""The outputs on docs/manifests-look.md are those of its commands; digests of Parquet files aside,
which may be others under another version of pyarrow.
"""

import re
import shlex

import pytest

from manifests.store import open_store
from tests.manifests.command_line import REPOSITORY, commit_corpus, manifest
from tests.manifests.located import LAST_CHANGE, NEVER, SPEC, WEB, publish

PAGE = (REPOSITORY / "docs/manifests-look.md").read_text("utf-8")
SHOWN = re.findall(r"```sh\n(.*?)\n```\n\n```\n(.*?)\n```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """demo@1, and demo@4 without one more record of the web."""
    folder = tmp_path_factory.mktemp("look")
    store = open_store(str(folder / "root"))
    commit_corpus(store)
    text = SPEC.split(LAST_CHANGE)[0]
    without = text.replace(f'["{NEVER}"]', f'["{NEVER}", "{WEB[3][0].id}"]')
    for spec in (text, text.replace("seed = 7", "seed = 8"), SPEC, without):
        publish(store, spec, folder)
    return store.url


def undigested(text: str) -> str:
    text = re.sub(r"sha256:[0-9a-f]{12}|(?<=data/)[0-9a-f]{64}", "DIGEST", text)
    return re.sub(r"(?<=, )[0-9a-f]{12}$", "DIGEST", text, flags=re.MULTILINE)


def test_each_of_the_four_commands_is_shown_with_its_output() -> None:
    assert [command.split()[3] for command, _ in SHOWN] == ["explain", "diff", "at", "where"]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=lambda text: text.split()[3][:8])
def test_an_output_on_the_page_is_what_its_command_prints(
    command: str, output: str, root: str
) -> None:
    names = iter(re.findall(r"^([0-9a-f]{32}): ", output, re.MULTILINE))
    words = [next(names) if word == "ID" else word for word in shlex.split(command)[3:]]
    done = manifest(*[root if word == "URL" else word for word in words], PYTHONIOENCODING="utf-8")
    assert done.stderr == ""
    assert undigested(done.stdout.rstrip()) == undigested(output)
