"""A pass over pairs, killed at its writes: nothing is lost, doubled or mixed."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manifests.layout import reference_commit_file
from tests.trainer.reference_writer import SLICE_PAIRS, kept

PAIRS = 25
WRITES = 7
"""`reference.json`, then data and commit of three slices."""


def run(root: Path, kill_at: int, add: float) -> int:
    words = [str(root), str(PAIRS), str(kill_at), str(add)]
    command = [sys.executable, "-m", "tests.trainer.reference_writer", *words]
    return subprocess.run(command, timeout=120, check=False).returncode


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.losses.reference_store.SLICE_PAIRS", SLICE_PAIRS)


def test_a_killed_pass_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    for kill_at in (0, 1, 3, 4, 5, 7, 10, 2 * WRITES - 1):
        root = tmp_path / str(kill_at)
        assert run(root, kill_at, add=0) == -signal.SIGKILL
        found = kept(str(root), PAIRS)
        done = [number for number in range(found.slices) if number not in found.missing()]
        assert len(done) == max(0, (kill_at + 1) // 2 - 1) // 2
        before = [found.store.get(reference_commit_file(found.address, n)) for n in done]
        assert run(root, -1, add=1000) == 0
        assert found.missing() == []
        after = [found.store.get(reference_commit_file(found.address, n)) for n in done]
        assert after == before
        values = found.read()
        expected = np.arange(PAIRS) + np.where(np.arange(PAIRS) // SLICE_PAIRS < len(done), 0, 1000)
        np.testing.assert_array_equal(values, np.stack([expected, -expected], axis=1))


def test_two_passes_at_once_leave_one_whole_result(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.trainer.reference_writer", str(tmp_path), str(PAIRS)]
    both = [subprocess.Popen([*command, "-1", add]) for add in ("0", "1000")]
    assert [one.wait(120) for one in both] == [0, 0]
    values = kept(str(tmp_path), PAIRS).read()[:, 0] - np.arange(PAIRS)
    by_slice = [set(values[at : at + SLICE_PAIRS].tolist()) for at in range(0, PAIRS, SLICE_PAIRS)]
    assert all(found in ({0.0}, {1000.0}) for found in by_slice)
