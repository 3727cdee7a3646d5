"""A short soak: workers, a node and drivers of a run die while it asks two teachers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
BLOWS = ("kill worker", "kill raylet", "kill driver")


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_raylet_a_worker_and_a_driver_die_and_the_verifier_finds_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.1", "--every", "7"]
    command += ["--documents", "48", "--report", str(report), "--blows", *BLOWS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = report.read_text()
    assert "| findings of the verifier (lost, twice, wrong) | 0 |" in text
    blows = {blow: _number(rf"\| {blow} \| ([\d,]+)", text) for blow in BLOWS}
    again = _number(r"\| asked again because of kills \| ([\d,]+)", text)
    dead = blows["kill worker"] + 2 * (blows["kill raylet"] + blows["kill driver"])
    assert again <= dead * 128, "more than was in flight and one flush of each worker"


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"{pattern} in\n{text}"
    return int(found[1].replace(",", ""))
