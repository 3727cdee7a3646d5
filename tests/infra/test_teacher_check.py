"""`python -m infra.teacher check` against the simulated teacher."""

import json
import subprocess
import sys

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.teacher", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_fit_endpoint_is_told_so() -> None:
    with SimulatedTeacher(Settings(model="m", revision="r1", seconds_per_token=0.001)) as teacher:
        done = check(teacher.url, "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["fit"], told["teacher"]) == (0, True, "m@r1")
        assert {c["what"]: c["verdict"] for c in told["checks"]} == {
            "model": "ok",
            "context": "ok",
            "chat": "ok",
            "JSON schema": "ok",
            "seed": "ok",
            "speed": "ok",
            "prompts": "ok",
            "metrics": "ok",
        }


def test_an_endpoint_that_fails_is_unfit_and_each_line_says_what_to_do() -> None:
    with SimulatedTeacher(Settings(max_model_len=512)) as teacher:
        teacher.faults([{"kind": "http_500"}])
        done = check(teacher.url)
        assert done.returncode == 1
        lines = {line.split()[1]: line for line in done.stdout.splitlines()}
        assert lines["chat"].startswith("FAIL")
        assert lines["context"].startswith("warn")
        assert "--max-model-len" in lines["context"]


def test_a_model_that_is_not_served_is_wrong_input() -> None:
    with SimulatedTeacher() as teacher:
        done = check(teacher.url, "--model", "other")
        assert (done.returncode, done.stdout) == (2, "")
        assert "does not serve other: it serves simulated, simulated@r1" in done.stderr


def test_an_address_where_nothing_answers_fails() -> None:
    with SimulatedTeacher() as gone:
        url = gone.url
    done = check(url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no teacher answers at")
