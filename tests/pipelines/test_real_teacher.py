"""The whole walk with a real vLLM teacher on the CPU: what `make quickstart` does, smaller."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.sandbox.bubblewrap import available
from infra.setup.cache import cache_dir
from pipelines.recipes.quickstart import QUICK

pytestmark = [pytest.mark.teacher, pytest.mark.ray, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).parents[2]
MODEL = cache_dir() / "models" / "smollm2-135m-instruct"

CODE = '''
def common_prefix(texts):
    """Return the longest prefix that all texts share."""
    if not texts:
        return ""
    low, high = min(texts), max(texts)
    for index, letter in enumerate(low):
        if letter != high[index]:
            return low[:index]
    return low


def count_words(text):
    """Return a dictionary from every word of the text to how often it occurs."""
    counts = {}
    for word in text.lower().split():
        counts[word] = counts.get(word, 0) + 1
    return counts
'''


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not MODEL.is_dir(), reason="no CPU teacher here: make setup-teacher builds it")
@pytest.mark.skipif(available() is not None, reason=f"no sandbox: {available()}")
def test_a_real_teacher_takes_documents_through_every_family(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    (tmp_path / "code.py").write_text(CODE)
    quickstart = ("pipelines", "quickstart", "documents=2", f"code={tmp_path / 'code.py'}")
    done = run(*quickstart, "--root", root, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    status = json.loads(done.stdout)
    assert status["complete"]
    steps = {s["address"].split("/")[1]: s for s in status["steps"]}
    seeds = steps["seeds@1"]
    assert seeds["ledger"]["planned"] == 4, "two documents of prose and two of code"
    for name in QUICK:
        assert steps[name]["ledger"]["planned"] == seeds["ledger"]["rows"]
        assert steps[name]["calls"] > 0
    assert sum(steps[name]["ledger"]["rows"] for name in QUICK) > 0
    for name in QUICK:  # each with all that it was made from
        verify = (
            "manifests",
            "step",
            "verify",
            f"{name.partition('@')[0]}_screened",
            "--root",
            root,
        )
        found = run(*verify, "--complete", "--inputs")
        assert found.returncode == 0, found.stdout
    shown = run("manifests", "show", "quickstart", "--root", root, "--json")
    assert shown.returncode == 0 or "no manifest: " in done.stderr, shown.stderr
    again = run(*quickstart, "--root", root, "--json")
    assert json.loads(again.stdout) == status
