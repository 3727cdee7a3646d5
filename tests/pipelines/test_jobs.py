"""Runs as Ray jobs: submitted with the code, twice at once, stopped; with token auth on."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests.commits import read_commits
from manifests.store import open_store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

REPOSITORY = Path(__file__).parents[2]
SPEED = Settings(slots=16, mean_tokens=40, seconds_per_token=0.004)
PACKAGE_MEGABYTES = 10.0
LISTING = """
import json, os, sys
found = [os.path.join(at, name) for at, _, names in os.walk(".") for name in names]
size = sum(os.path.getsize(path) for path in found)
import pipelines
print("LISTING" + json.dumps([found, size, os.getcwd(), pipelines.__file__, sys.executable]))
"""


@pytest.fixture
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(SPEED) as running:
        yield running


@pytest.fixture
def few_documents(tmp_path: Path, prose_of: Any) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for file in range(4):
        lines = [json.dumps({"text": prose_of(file, number)}) for number in range(3)]
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def command(documents: Path, root: str, teacher: str) -> list[str]:
    return [
        *("python", "-m", "pipelines", "run", "synthesize"),
        f"prose={documents}",
        "prose_format=jsonl",
        "prose_curator=seeds_quick@1",
        "generators=rewrite_quick@1",
        "slice_bytes=4000",
        *("--root", root, "--teacher", teacher, "--in-flight", "24", "--json"),
    ]


def ray_job(
    cluster: Any, *arguments: str, token: bool = True
) -> "subprocess.CompletedProcess[str]":
    environment = {**cluster.environment, "RAY_API_SERVER_ADDRESS": cluster.dashboard}
    if not token:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
            del environment[name]
        environment["HOME"] = "/nonexistent"  # where a token of the user's own would lie
    return subprocess.run(
        ["ray", "job", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def submit(cluster: Any, name: str, entrypoint: list[str], *, wait: bool) -> str:
    options = ["--submission-id", name, *([] if wait else ["--no-wait"]), "--working-dir", "."]
    done = ray_job(cluster, "submit", *options, "--", *entrypoint)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def about(cluster: Any, path: str) -> dict[str, Any]:
    """What the job server says; asked by HTTP, because a command costs a second of CPU."""
    token = Path(cluster.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    url = f"{cluster.dashboard}/api/jobs/{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def state(cluster: Any, name: str) -> str:
    return str(about(cluster, name)["status"])


def finished(cluster: Any, name: str) -> dict[str, Any]:
    """The status that a run printed at the end of its job."""
    ends = ("SUCCEEDED", "FAILED", "STOPPED")
    cluster.wait_for(lambda: state(cluster, name) in ends, f"the end of job {name}")
    logs = about(cluster, f"{name}/logs")["logs"]
    assert state(cluster, name) == "SUCCEEDED", logs
    printed = [line for line in logs.splitlines() if line.startswith('{"run"')]
    return dict(json.loads(printed[-1]))


def screened(status: dict[str, Any]) -> str:
    (address,) = (step["address"] for step in status["steps"] if step["kind"] == "Screen")
    return str(address)


def contents(root: str, status: dict[str, Any]) -> dict[str, list[str]]:
    """The digests of a run's commits, by step."""
    return {
        step["address"]: [
            commit.digest for commit in read_commits(open_store(root), step["address"])
        ]
        for step in status["steps"]
    }


def test_a_job_travels_with_the_code_and_without_what_git_ignores(
    cluster: Any, tmp_path: Path
) -> None:
    program = tmp_path / "listing.py"
    program.write_text(LISTING)
    said = submit(
        cluster, "listing", ["python", "-c", f"exec(open('{program}').read())"], wait=True
    )
    (line,) = (line for line in said.splitlines() if line.startswith("LISTING"))
    paths, size, folder, package, python = json.loads(line.removeprefix("LISTING"))
    assert "./pipelines/cli.py" in paths
    assert package == f"{folder}/pipelines/__init__.py"
    assert Path(folder) != REPOSITORY
    assert Path(python).parent == Path(cluster.environment["PATH"].split(":")[0])
    assert size < PACKAGE_MEGABYTES * 1e6
    ignored = ("/.git/", "/.pytest_cache/", "/.hypothesis/", "/.venv/", "/runs-local/")
    assert not [path for path in paths if any(part in path for part in ignored)]


def test_without_the_token_nothing_is_submitted(cluster: Any) -> None:
    done = ray_job(cluster, "submit", "--no-wait", "--", "true", token=False)
    assert done.returncode != 0
    assert "authenticat" in (done.stdout + done.stderr).lower()


def test_the_same_job_twice_at_once_is_one_run(
    cluster: Any, tmp_path: Path, few_documents: Path, teacher: SimulatedTeacher
) -> None:
    root = str(tmp_path / "root")
    run = command(few_documents, root, teacher.url)
    submit(cluster, "one", run, wait=False)
    submit(cluster, "two", run, wait=False)
    first, second = finished(cluster, "one"), finished(cluster, "two")
    assert first["complete"]
    assert first == second
    cluster.verified(screened(first), root)

    alone = str(tmp_path / "alone")
    _, _, _, *arguments = command(few_documents, alone, teacher.url)
    cluster.finished(cluster.pipelines(*arguments))
    assert contents(alone, first) == contents(root, first)


def test_a_job_that_was_stopped_goes_on_when_it_is_submitted_again(
    cluster: Any, tmp_path: Path, few_documents: Path, teacher: SimulatedTeacher
) -> None:
    root = str(tmp_path / "root")
    run = command(few_documents, root, teacher.url)
    submit(cluster, "stopped", run, wait=False)
    cluster.wait_for(lambda: teacher.stats()["answered"] > 20, "the first answers")
    done = ray_job(cluster, "stop", "stopped")
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(cluster, "stopped") == "STOPPED"

    submit(cluster, "again", run, wait=False)
    status = finished(cluster, "again")
    assert status["complete"]
    cluster.verified(screened(status), root)
    stats = teacher.stats()
    repeated = stats["requests"] - stats["unique_prompts"]
    # Asked to stop, it wrote every answer down first.
    assert repeated <= stats["max_in_flight"] + stats["max_queue"]
