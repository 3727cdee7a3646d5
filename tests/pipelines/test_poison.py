"""Poison is boxed: what breaks its worker is put aside with its evidence, and the run goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests import layout
from manifests.commits import Ledger, read_commits
from manifests.records import Reject
from manifests.shards import read_shard
from manifests.store import open_store
from manifests.tables import from_table

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PROGRAM = str(Path(__file__).parent / "methods" / "poisoned.py")


@pytest.fixture
def teacher() -> Iterator[SimulatedTeacher]:
    settings = Settings(slots=8, mean_tokens=20, seconds_per_token=0.005)
    with SimulatedTeacher(settings) as running:
        yield running


def documents(folder: Path, poison: dict[int, str], number: int) -> str:
    """One file of documents, the poisoned ones by their number."""
    lines = [
        json.dumps({"text": f"Document {n} of the archive. {poison.get(n, 'Nothing is wrong.')}"})
        for n in range(number)
    ]
    (folder / "all.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder / "all.jsonl")


def rejects_and_ledger(root: str, step: str) -> tuple[list[Reject], Ledger]:
    store, rows, ledger = open_store(root), [], Ledger()
    for commit in read_commits(store, step):
        key = layout.rejects_file(step, commit.rejects.sha256)
        rows += from_table(Reject, read_shard(store, key, commit.rejects))
        ledger += commit.ledger
    return rows, ledger


def test_items_that_kill_hang_or_break_their_worker_are_quarantined_and_no_others(
    cluster: Any, tmp_path: Path, teacher: SimulatedTeacher
) -> None:
    poison = {3: "KILLER", 9: "BUG", 11: "HANGER"}  # the first of its slice
    source = documents(tmp_path, poison, 32)
    root = str(tmp_path / "root")
    driver = cluster.python(PROGRAM, root, source, teacher.url, "3")
    report = json.loads(cluster.finished(driver))

    rows, ledger = rejects_and_ledger(root, report["step"])
    found = {kind: row for row in rows for kind in poison.values() if kind in row.text}
    assert set(found) == set(poison.values())
    assert {row.reason for row in rows} == {"poison"}
    assert ledger == Ledger(planned=32, accepted=29, quarantined=3, rows=29)
    for kind in ("KILLER", "HANGER"):
        assert found[kind].detail == "its worker died or hung 3 times while it ran alone"
    assert found["BUG"].detail.startswith("ZeroDivisionError: a bug in the method at __call__")
    assert len(found["BUG"].lineage) == 1
    assert 6 <= report["deaths"] <= 10
    cluster.verified(report["step"], root)


def test_a_method_that_breaks_on_many_items_stops_the_run_with_one_line(
    cluster: Any, tmp_path: Path, teacher: SimulatedTeacher
) -> None:
    source = documents(tmp_path, dict.fromkeys(range(12), "BUG"), 30)
    driver = cluster.python(PROGRAM, str(tmp_path / "root"), source, teacher.url, "180")
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert not out
    (told,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "items are in quarantine, more than 1%: see `show --rejects`" in told
    assert "Traceback" not in err
