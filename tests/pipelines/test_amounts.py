"""Exact amounts: just so many records or tokens, whatever dies, and never one other for it."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests import layout
from manifests.commits import read_commits
from manifests.shards import read_shard
from manifests.store import open_store
from pipelines.answers import kept_answers
from pipelines.plan import read_runs
from tests.pipelines.committed_run import Command

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

SPEED = Settings(slots=8, mean_tokens=160, seconds_per_token=0.001)
LIMITED = 3
IN_FLIGHT = 16


@pytest.fixture(scope="module")
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(SPEED) as running:
        yield running


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, prose_of: Any) -> Path:
    """Twelve documents, a slice each."""
    folder = tmp_path_factory.mktemp("sources")
    for file in range(6):
        for number in range(2):
            text = json.dumps({"text": prose_of(file, number)})
            (folder / f"{file}{number}.jsonl").write_text(f"{text}\n")
    return folder


def command(sources: Path, root: object, teacher: SimulatedTeacher, *more: str) -> list[str]:
    return [
        *("run", "synthesize", f"prose={sources}", "prose_format=jsonl"),
        *("prose_curator=seeds_quick@1", "generators=rewrite_quick@1", "slice_bytes=1"),
        *("--root", str(root), "--teacher", teacher.url, "--in-flight", str(IN_FLIGHT), "--json"),
        *more,
    ]


def address(status: dict[str, Any], kind: str) -> str:
    """Of the last step of a kind."""
    return str([s["address"] for s in status["steps"] if s["kind"] == kind][-1])


def rows(root: object, step: str) -> list[tuple[str, int]]:
    """Id and tokens of every record of a step, in order."""
    store = open_store(str(root))
    commits = sorted(read_commits(store, step), key=lambda commit: commit.slice_index)
    tables = [read_shard(store, layout.data_file(step, c.data.sha256), c.data) for c in commits]
    return [
        (str(key), int(tokens))
        for table in tables
        for key, tokens in zip(table["id"].to_pylist(), table["tokens"].to_pylist(), strict=True)
    ]


@pytest.fixture(scope="module")
def undisturbed(
    cluster: Any, sources: Path, teacher: SimulatedTeacher, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, int]]:
    """Nine records, made by one driver that nobody disturbed."""
    root = tmp_path_factory.mktemp("undisturbed") / "root"
    status = json.loads(
        cluster.finished(cluster.pipelines(*command(sources, root, teacher, "--want", "9records")))
    )
    assert status["complete"]
    taken = address(status, "Take")
    cluster.verified(taken, str(root))
    found = rows(root, taken)
    assert len(found) == 9
    return found


def test_kills_of_driver_and_worker_change_no_record(
    cluster: Any,
    sources: Path,
    teacher: SimulatedTeacher,
    tmp_path: Path,
    undisturbed: list[tuple[str, int]],
) -> None:
    root = tmp_path / "root"
    run = command(sources, root, teacher, "--want", "rewrite_quick@1=9records", "--workers", "2")
    teacher.reset()
    first = cluster.pipelines(*run)
    cluster.wait_until(first, lambda: teacher.stats()["answered"] > 15, "the first answers")
    first.send_signal(signal.SIGKILL)
    first.wait()

    asked = teacher.stats()["requests"]
    second = cluster.pipelines(*run)
    cluster.wait_until(second, lambda: teacher.stats()["requests"] > asked + 8, "more answers")
    assert cluster.kill_worker()

    status = json.loads(cluster.finished(second))
    taken = address(status, "Take")
    cluster.verified(taken, str(root))
    assert rows(root, taken) == undisturbed


def test_two_drivers_at_once_agree(
    cluster: Any,
    sources: Path,
    teacher: SimulatedTeacher,
    tmp_path: Path,
    undisturbed: list[tuple[str, int]],
) -> None:
    root = tmp_path / "root"
    run = command(sources, root, teacher, "--want", "9records")
    drivers = [cluster.pipelines(*run) for _ in range(2)]
    one, two = (json.loads(cluster.finished(driver)) for driver in drivers)
    taken = address(one, "Take")
    assert taken == address(two, "Take")
    cluster.verified(taken, str(root))
    assert rows(root, taken) == undisturbed


def test_more_and_less_begin_with_the_same_records(
    cluster: Any,
    sources: Path,
    teacher: SimulatedTeacher,
    tmp_path: Path,
    undisturbed: list[tuple[str, int]],
) -> None:
    root, statuses = tmp_path / "root", {}
    for count in (5, 9, 3):
        teacher.reset()
        run = command(sources, root, teacher, "--want", f"{count}records")
        statuses[count] = json.loads(cluster.finished(cluster.pipelines(*run)))
        taken = address(statuses[count], "Take")
        cluster.verified(taken, str(root))
        assert rows(root, taken) == undisturbed[:count]
    assert teacher.stats()["requests"] == 0  # three are the first of what was there

    wanted = sum(tokens for _, tokens in undisturbed[:6]) + 1
    run = command(sources, root, teacher, "--want", f"{wanted}tokens")
    status = json.loads(cluster.finished(cluster.pipelines(*run)))
    taken = address(status, "Take")
    cluster.verified(taken, str(root))
    assert rows(root, taken) == undisturbed[:7]


def test_no_slice_is_begun_far_beyond_the_need(
    cluster: Any, sources: Path, teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    run = command(sources, tmp_path / "root", teacher, "--want", "1records")
    status = json.loads(cluster.finished(cluster.pipelines(*run)))
    written = {s["address"].split("/")[1]: s for s in status["steps"]}
    assert status["complete"]
    assert written["documents@1"]["committed"] <= 6  # four are open at once
    assert written["rewrite_quick@1"]["committed"] < written["rewrite_quick@1"]["slices"] == 12


def test_sources_that_do_not_suffice_end_the_run_with_one_line(
    cluster: Any, sources: Path, teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    run = command(sources, tmp_path / "root", teacher, "--want", "100_000records")
    driver = cluster.pipelines(*run)
    out, err = driver.communicate(timeout=240)
    assert driver.returncode == 1, err
    status = json.loads(out)
    have = status["records"]
    assert not status["complete"]
    last = err.strip().splitlines()[-1]
    assert last == (
        f"error: the sources are used up and lack {100_000 - have:,} of 100,000 records of "
        "rewrite_quick@1: give more sources, or want less"
    )


def test_a_ceiling_of_tokens_ends_the_run_and_a_kill_does_not_reset_it(
    cluster: Any, sources: Path, teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    root = tmp_path / "root"

    def run(most: int) -> Any:
        more = ("--want", "9records", "--max-teacher-tokens", str(most))
        return cluster.pipelines(*command(sources, root, teacher, *more))

    teacher.reset()
    first = run(1500)
    cluster.wait_until(first, lambda: teacher.stats()["answered"] > 4, "the first answers")
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = run(1500)
    _, err = second.communicate(timeout=240)
    assert second.returncode == LIMITED, err
    assert "ended by --max-teacher-tokens 1500: " in err
    assert 1500 <= spent(root) <= 1500 + IN_FLIGHT * 400
    teacher.reset()
    third = run(1500)
    _, err = third.communicate(timeout=240)
    assert third.returncode == LIMITED, err
    assert teacher.stats()["requests"] == 0

    assert json.loads(cluster.finished(run(1_000_000)))["complete"]


def spent(root: Path) -> int:
    """Teacher tokens by what lies in the store."""
    store, tokens = open_store(str(root)), 0
    (note,) = read_runs(store)
    for step in note.steps:
        commits = list(read_commits(store, step.address))
        tokens += sum(c.stats.teacher.completion_tokens for c in commits)
        tokens += kept_answers(store, step.address, {c.task for c in commits}).tokens
    return tokens


def test_a_ceiling_of_hours_ends_the_run(
    cluster: Any, sources: Path, teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    run = command(sources, tmp_path / "root", teacher, "--want", "9records", "--max-hours", "1e-6")
    driver = cluster.pipelines(*run)
    _, err = driver.communicate(timeout=240)
    assert driver.returncode == LIMITED, err
    assert "ended by --max-hours 1e-06: " in err


@pytest.mark.parametrize(
    ("want", "says"),
    [
        (["5"], "expected [GENERATOR=]AMOUNT"),
        (["5apples"], "expected [GENERATOR=]AMOUNT"),
        (["0records"], "at least 1"),
        (["2.5records"], "expected a whole number of records"),
        (["5records", "6tokens"], "every generator is given twice"),
        (["rewrite_quack@1=5records"], "did you mean rewrite_quick@1?"),
    ],
)
def test_a_want_that_makes_no_sense_is_told_in_one_line(
    sources: Path,
    teacher: SimulatedTeacher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    want: list[str],
    says: str,
) -> None:
    given = [part for text in want for part in ("--want", text)]
    refused = Command(monkeypatch, capsys).refuses(
        *command(sources, tmp_path / "root", teacher, *given)
    )
    assert says in refused
    assert not (tmp_path / "root").exists()
