"""Kill anything, submit again: nothing lost, nothing twice, few calls asked again."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from pipelines.durable import UNFLUSHED

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SLOW = Settings(slots=8, mean_tokens=40, seconds_per_token=0.003)


def command(documents: Path, root: str, teacher: str) -> list[str]:
    return [
        "run",
        "synthesize",
        f"prose={documents}",
        "prose_format=jsonl",
        "prose_curator=seeds_quick@1",
        "generators=rewrite_quick@1,revise_quick@1",
        "slice_bytes=6000",
        "--root",
        root,
        "--teacher",
        teacher,
        "--in-flight",
        "32",
        "--json",
    ]


@pytest.fixture
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(SLOW) as running:
        yield running


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "root")
    return f"s3://{request.getfixturevalue('bucket')}/runs"


def ends(status: dict[str, Any]) -> list[str]:
    """The addresses of the screened records."""
    return [s["address"] for s in status["steps"] if s["kind"] == "Screen"]


def test_killing_driver_and_worker_costs_the_calls_in_flight_and_one_flush(
    cluster: Any, documents: Path, root: str, teacher: SimulatedTeacher
) -> None:
    run = command(documents, root, teacher.url)

    first = cluster.pipelines(*run)
    cluster.wait_until(first, lambda: teacher.stats()["answered"] > 60, "the first answers")
    first.send_signal(signal.SIGKILL)
    first.wait()

    second = cluster.pipelines(*run)
    asked = teacher.stats()["requests"]
    cluster.wait_until(second, lambda: teacher.stats()["requests"] > asked + 60, "answers again")
    assert cluster.kill_worker()

    status = json.loads(cluster.finished(second))
    assert status["complete"]
    for step in ends(status):
        cluster.verified(step, root)
    stats = teacher.stats()
    in_flight = stats["max_in_flight"] + stats["max_queue"]
    repeated = stats["requests"] - stats["unique_prompts"]
    assert repeated <= 2 * (in_flight + UNFLUSHED)
