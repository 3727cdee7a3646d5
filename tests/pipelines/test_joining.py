"""Replicas die and join while a run goes on: nothing is lost, and the store tells what happened."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.events import EventKind, PoolEvent
from manifests.store import open_store
from pipelines import joining
from pipelines.pool_events import PoolEvents, read_events

SLOW = Settings(slots=2, mean_tokens=160, seconds_per_token=0.002)
SWIFT = Settings(slots=32, mean_tokens=160, seconds_per_token=0.0)


@pytest.fixture(scope="module")
def slow() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(SLOW) as running:
        yield running


@pytest.fixture(scope="module")
def swift() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(SWIFT) as running:
        yield running


def join(cluster: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines", "join", *arguments],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_one_joins_the_first_dies_and_the_run_ends_whole(
    cluster: Any, slow: SimulatedTeacher, swift: SimulatedTeacher, tmp_path: Path, prose_of: Any
) -> None:
    sources, root = tmp_path / "sources", str(tmp_path / "root")
    sources.mkdir()
    for file in range(6):
        texts = [json.dumps({"text": prose_of(file, number)}) for number in range(4)]
        (sources / f"{file}.jsonl").write_text("\n".join(texts) + "\n")
    run = cluster.pipelines(
        *("run", "synthesize", f"prose={sources}", "prose_format=jsonl", "slice_bytes=1"),
        *("prose_curator=seeds_quick@1", "generators=rewrite_quick@1", "--in-flight", "16"),
        *("--root", root, "--teacher", slow.url, "--json"),
    )
    cluster.wait_until(run, lambda: slow.stats()["answered"] > 2, "the first answers")
    joined = join(cluster, "synthesize", swift.url, "--root", root)
    assert joined.returncode == 0, joined.stderr
    assert "simulated@r1) joins run" in joined.stdout
    cluster.wait_until(run, lambda: swift.stats()["answered"] > 2, "answers of who joined")
    slow.kill()
    status = json.loads(cluster.finished(run))
    assert status["complete"]
    cluster.verified(status["generators"][0]["step"], root)
    told = {(event["kind"], event["url"]) for event in status["events"]}
    assert ("joined", swift.url) in told
    shown = cluster.finished(cluster.pipelines("status", "--root", root))
    assert f"joined       {swift.url} (simulated@r1)" in shown
    again = join(cluster, "synthesize", slow.url, "--root", root)
    assert again.returncode == 1
    assert again.stderr.startswith(f"error: no teacher answers at {slow.url}")
    with SimulatedTeacher(Settings(revision="r2")) as other:
        wrong = join(cluster, "synthesize", other.url, "--root", root)
    assert wrong.returncode == 2, wrong.stderr
    assert f"{other.url} does not serve simulated@r1" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


class _Seen:
    """What `PoolEvents` reads of a worker's snapshot."""

    def __init__(self, name: str, *events: PoolEvent) -> None:
        self.name, self.pool = name, self
        self.events = events


def event(number: int, at: float, kind: EventKind = EventKind.LOST, url: str = "u") -> PoolEvent:
    return PoolEvent(number=number, at=at, kind=kind, teacher="m@r1", url=url, detail="why")


def test_what_many_workers_see_is_one_event(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    events = PoolEvents(store, "run")
    lost, back = event(0, 100.0), event(1, 130.0, EventKind.BACK)
    seen: Any = [_Seen("a", lost), _Seen("b", event(0, 99.0)), _Seen("c", event(0, 300.0))]
    events.look(seen)
    seen = [_Seen("a", lost, back)]
    events.look(seen)
    events.write()
    told = [(one.at, one.kind.value, one.workers) for one in read_events(store, "run")]
    assert told == [(99.0, "lost", 2), (130.0, "back", 1), (300.0, "lost", 1)]


def test_events_of_several_drivers_are_told_together(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    for at in (5.0, 3.0):
        seen: Any = [_Seen("a", event(0, at, url=f"u{at}"))]
        driver = PoolEvents(store, "run")
        driver.look(seen)
        driver.write()
    assert [one.at for one in read_events(store, "run")] == [3.0, 5.0]


def test_a_later_driver_of_the_run_asks_who_joined(tmp_path: Path, slow: SimulatedTeacher) -> None:
    store = open_store(str(tmp_path / "root"))
    about = {"url": "http://h:1", "served_name": "m@r1", "max_model_len": 512, "hosted": False}
    store.put("joined/run/x.json", json.dumps(about).encode())
    (found,) = joining.Joined(store, "run", ()).look()
    assert (found.url, found.teacher.name, found.max_model_len) == ("http://h:1", "m@r1", 512)
    assert joining.Joined(store, "run", [found]).look() == []
