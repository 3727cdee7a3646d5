"""A run as a person meets it: it stops when asked, goes on, waits for room, and says the same."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests import layout
from manifests.commits import read_commits
from manifests.store import open_store
from manifests.tokenizers import Tokenizer
from pipelines.backlog import Backlog
from pipelines.plan import Plan
from pipelines.step import Step, Task
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.work.screen import Screen

SPEED = Settings(slots=16, mean_tokens=40, seconds_per_token=0.003)
STOPPED = 143
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Nothing:
    """A method that is never called."""

    name: str


def plan(slices: int) -> Plan:
    """Documents, seeds, and two generators with their screens."""

    def generate(name: str, makes: str) -> Generate:
        method: Any = Nothing(name)
        return Generate(method=method, makes=makes, teachers=(), tokenizer=Tokenizer())

    read = ReadDocuments(sources=(), inventory="0" * 64, slice_bytes=1)
    documents = Step(name="documents", version=1, work=read)
    seeds = Step(name="seeds", version=1, work=generate("seeds@1", "seed"), inputs=(documents,))
    ends = []
    for name in ("first", "second"):
        work = generate(f"{name}@1", "record")
        records = Step(name=name, version=1, work=work, inputs=(seeds,))
        screen = Screen(gates=(), tokenizer="none")
        ends.append(Step(name=f"{name}_screened", version=1, work=screen, inputs=(records,)))
    return Plan(recipe="r", arguments={}, ends=tuple(ends), slices=slices, inventory=b"")


def told(task: Task | None) -> tuple[str, int] | None:
    return None if task is None else (task.step.name, task.slice)


def nothing_yet(planned: Plan) -> dict[str, set[str]]:
    return {step.address: set() for step in planned.steps}


def test_a_slice_goes_on_before_a_later_one_is_begun() -> None:
    planned = plan(3)
    backlog = Backlog(planned, nothing_yet(planned))
    for number in range(3):
        task = backlog.next_map()
        assert task is not None
        assert told(task) == ("documents", number)
        backlog.committed(task)
    first = backlog.next_generate()
    assert told(first) == ("seeds", 0)
    assert first is not None
    backlog.committed(first)
    assert [told(backlog.next_generate()) for _ in range(3)] == [
        ("first", 0),
        ("second", 0),
        ("seeds", 1),
    ]


def test_a_task_that_did_not_end_is_the_next_again() -> None:
    planned = plan(2)
    backlog = Backlog(planned, nothing_yet(planned))
    task = backlog.next_map()
    assert task is not None
    backlog.put_back(task)
    assert told(backlog.next_map()) == ("documents", 0)


def test_only_what_has_not_committed_starts() -> None:
    planned = plan(2)
    committed = nothing_yet(planned)
    for step in planned.steps:
        committed[step.address] = {Task(step, 0).id}
    backlog = Backlog(planned, committed)
    assert told(backlog.next_map()) == ("documents", 1)
    assert backlog.next_map() is None
    assert backlog.next_generate() is None
    assert not backlog


def command(documents: Path, root: str, teacher: str) -> list[str]:
    return [
        "run",
        "synthesize",
        f"prose={documents}",
        "prose_format=jsonl",
        "prose_curator=seeds_quick@1",
        "generators=rewrite_quick@1,revise_quick@1",
        "slice_bytes=4000",
        "--root",
        root,
        "--teacher",
        teacher,
        "--in-flight",
        "24",
        "--json",
    ]


@pytest.fixture(scope="module")
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(SPEED) as running:
        yield running


@dataclass(frozen=True)
class Finished:
    """A run that nobody disturbed."""

    root: str
    documents: Path
    command: list[str]
    status: dict[str, Any]
    asked: int


@pytest.fixture(scope="module")
def finished(
    cluster: Any,
    teacher: SimulatedTeacher,
    tmp_path_factory: pytest.TempPathFactory,
    few_documents: Path,
) -> Finished:
    root = str(tmp_path_factory.mktemp("finished") / "root")
    run = command(few_documents, root, teacher.url)
    teacher.reset()
    status = json.loads(cluster.finished(cluster.pipelines(*run)))
    return Finished(root, few_documents, run, status, teacher.stats()["requests"])


@pytest.fixture(scope="module")
def few_documents(tmp_path_factory: pytest.TempPathFactory, prose_of: Any) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for file in range(6):
        lines = [json.dumps({"text": prose_of(file, number)}) for number in range(3)]
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def digests(root: str, status: dict[str, Any]) -> dict[tuple[str, int], tuple[str, str, str]]:
    """Data, rejects and commit of every task."""
    return {
        (step["address"], c.slice_index): (c.data.sha256, c.rejects.sha256, c.digest)
        for step in status["steps"]
        for c in read_commits(open_store(root), step["address"])
    }


def status_of(cluster: Any, root: str) -> dict[str, Any]:
    """`status --json`, which asks nobody but the store."""
    out = cluster.finished(cluster.pipelines("status", "--root", root, "--json"))
    (status,) = json.loads(out)
    return dict(status)


def tree(root: str) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a root: its inode, its time and its bytes."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in Path(root).rglob("*")
        if path.is_file()
    }


def address_of(finished: Finished, name: str) -> str:
    (found,) = (s["address"] for s in finished.status["steps"] if f"/{name}@" in s["address"])
    return str(found)


def commit_times(root: str, address: str) -> list[int]:
    return [p.stat().st_mtime_ns for p in (Path(root) / layout.commits_prefix(address)).iterdir()]


@pytest.mark.ray
def test_a_slice_is_screened_before_the_last_one_is_curated(finished: Finished) -> None:
    addresses = {
        s["address"].split("/")[1].split("@")[0]: s["address"] for s in finished.status["steps"]
    }
    screened = commit_times(finished.root, addresses["rewrite_quick_screened"])
    curated = commit_times(finished.root, addresses["seeds"])
    assert min(screened) < max(curated)


@pytest.mark.ray
def test_a_finished_run_asks_nothing_again_and_changes_no_byte(
    cluster: Any, finished: Finished, teacher: SimulatedTeacher
) -> None:
    before = tree(finished.root)
    teacher.reset()
    again = json.loads(cluster.finished(cluster.pipelines(*finished.command)))
    assert again == finished.status
    assert teacher.stats()["requests"] == 0
    assert tree(finished.root) == before


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_run_that_was_stopped_says_so_and_then_makes_the_same_bytes(
    cluster: Any, finished: Finished, teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    root = str(tmp_path / "root")
    run = command(finished.documents, root, teacher.url)
    teacher.reset()
    first = cluster.pipelines(*run)
    cluster.wait_until(
        first, lambda: teacher.stats()["answered"] > finished.asked / 3, "the first answers"
    )
    going = status_of(cluster, root)
    assert not going["complete"]
    first.send_signal(signal.SIGTERM)
    asked_to_stop = time.monotonic()
    out, err = first.communicate(timeout=60)
    assert first.returncode == STOPPED, err
    assert time.monotonic() - asked_to_stop < STOP_SECONDS
    assert "the same command goes on from here" in err
    stopped = status_of(cluster, root)
    assert json.loads(out) == stopped
    assert not stopped["complete"]
    assert sum(s["committed"] for s in stopped["steps"]) >= sum(
        s["committed"] for s in going["steps"]
    )

    status = json.loads(cluster.finished(cluster.pipelines(*run)))
    stats = teacher.stats()
    assert digests(root, status) == digests(finished.root, finished.status)
    # Everything answered before the stop was written: only calls in flight were asked twice.
    assert (
        stats["requests"] - stats["unique_prompts"] <= stats["max_in_flight"] + stats["max_queue"]
    )


@pytest.mark.ray
def test_a_step_begun_by_other_code_is_refused_unless_the_change_is_accepted(
    cluster: Any, finished: Finished, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    subprocess.run(["cp", "-r", finished.root, root], check=True)
    run = command(
        finished.documents, str(root), finished.command[finished.command.index("--teacher") + 1]
    )
    address = finished.status["steps"][-1]["address"]
    note = root / layout.step_file(address)
    begun = json.loads(note.read_text())
    note.write_text(json.dumps({**begun, "code": "f" * 64}))
    task = next((root / layout.commits_prefix(address)).iterdir())
    task.unlink()

    refused = cluster.pipelines(*run)
    out, err = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert f"{address} was begun by other code (ffffffffffff, this is {begun['code'][:12]})" in err
    assert not out
    assert not task.exists()

    accepted = json.loads(cluster.finished(cluster.pipelines(*run, "--accept-code-change")))
    assert accepted == finished.status
    assert digests(str(root), accepted) == digests(finished.root, finished.status)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that has room for a part of a run."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs mount(8): {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_full_store_pauses_the_run_and_room_lets_it_go_on(
    cluster: Any, finished: Finished, teacher: SimulatedTeacher, small_disk: Path, tmp_path: Path
) -> None:
    root, log = str(small_disk / "root"), tmp_path / "log"
    driver = cluster.pipelines(*command(finished.documents, root, teacher.url), log=log)
    cluster.wait_until(driver, lambda: "paused" in log.read_text().lower(), "a word about it")
    room = ["mount", "-o", "remount,size=64m", str(small_disk)]
    subprocess.run(room, check=True)
    status = json.loads(cluster.finished(driver))
    assert status["complete"]
    assert digests(root, status) == digests(finished.root, finished.status)
    for step in status["steps"]:
        if step["kind"] == "Screen":
            cluster.verified(step["address"], root)
