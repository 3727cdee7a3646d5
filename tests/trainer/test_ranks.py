from pathlib import Path

import pytest

from tests.trainer.ranks import run_ranks

SCRIPT = """
import os, signal, sys
from tests.trainer.ranks import answer
if sys.argv[1] == os.environ["RANK"]:
    raise SystemExit("this one broke")
if sys.argv[1] != "none":
    signal.pause()
answer(int(os.environ["RANK"]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "worker.py"
    file.write_text(SCRIPT)
    return file


def test_every_rank_answers(script: Path) -> None:
    assert run_ranks(script, 2, "none", timeout=60) == [0, 1]


def test_a_rank_that_fails_ends_those_that_wait_for_it(script: Path) -> None:
    with pytest.raises(AssertionError, match="rank 1 ended with 1: this one broke"):
        run_ranks(script, 2, "1", timeout=60)


def test_ranks_that_are_not_done_in_time_are_ended(script: Path) -> None:
    with pytest.raises(AssertionError, match="not done in 1 s"):
        run_ranks(script, 2, "wait", timeout=1)
