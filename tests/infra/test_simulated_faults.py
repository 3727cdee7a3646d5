"""Faults strike as scripted."""

import asyncio
import json
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests.errors import ConfigError, TeacherUnavailable
from tests.infra.simulated_client import ask, question, send


def outcome(teacher: SimulatedTeacher, body: dict[str, Any]) -> str:
    try:
        status, _, text = ask(teacher, body)
    except OSError as error:
        return type(error).__name__
    return str(status) if status != 200 else text.decode("utf-8", "replace")


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500, 502, 503])
def test_http_errors_come_as_scripted(teacher: SimulatedTeacher, status: int) -> None:
    teacher.faults([{"kind": f"http_{status}", "at_request": 2, "retry_after": 1.5}])
    replies = [ask(teacher, question()) for _ in range(3)]
    assert [r[0] for r in replies] == [200, status, 200]
    assert replies[1][1]["retry-after"] == "1.5"
    assert teacher.stats()["errors"] == {f"http_{status}": 1}


def test_a_reset_is_a_tcp_reset(teacher: SimulatedTeacher) -> None:
    teacher.faults([{"kind": "reset", "every": 2}])
    assert [outcome(teacher, question())[:20] for _ in range(4)].count("ConnectionResetError") == 2


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("empty_choices", lambda b: b["choices"] == []),
        ("wrong_model", lambda b: b["model"] not in ("simulated", "simulated@r1")),
        ("empty_text", lambda b: b["choices"][0]["message"]["content"] == ""),
        ("truncated", lambda b: b["choices"][0]["finish_reason"] == "length"),
        ("refusal", lambda b: b["choices"][0]["message"]["content"].startswith("I'm sorry, but")),
        ("huge", lambda b: len(b["choices"][0]["message"]["content"]) == 2_000_000),
    ],
)
def test_spoilt_answers_come_as_scripted(teacher: SimulatedTeacher, kind: str, check: Any) -> None:
    healthy = json.loads(ask(teacher, question())[2])
    teacher.faults([{"kind": kind, "megabytes": 2}])
    status, _, body = ask(teacher, question())
    assert status == 200
    assert check(json.loads(body))
    assert not check(healthy)


def test_broken_bodies_come_as_scripted(teacher: SimulatedTeacher) -> None:
    teacher.faults([{"kind": "malformed"}])
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(teacher, question())[2])
    teacher.faults([{"kind": "invalid_utf8"}])
    with pytest.raises(UnicodeDecodeError):
        ask(teacher, question())[2].decode()
    teacher.faults([{"kind": "half"}])
    with pytest.raises(Exception, match="IncompleteRead"):
        ask(teacher, question())


def test_a_hang_takes_a_slot_until_the_client_gives_up(teacher: SimulatedTeacher) -> None:
    teacher.faults([{"kind": "hang", "containing": "poison"}])

    async def give_up(url: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            body = question("poison")
            call = asyncio.create_task(session.post(url + "/v1/chat/completions", json=body))
            stats: dict[str, Any] = {"running": 0}
            while not stats["running"]:
                async with session.get(url + "/simulated/stats") as response:
                    stats = await response.json()
            call.cancel()
            return stats

    stats = asyncio.run(give_up(teacher.url))
    assert stats["answered"] == 0
    assert ask(teacher, question())[0] == 200
    assert (teacher.stats()["running"], teacher.stats()["cancelled"]) == (0, 1)


def test_slow_takes_that_many_times_as_long() -> None:
    timed = Settings(slots=1, seconds_per_token=0.00001)
    with SimulatedTeacher(timed) as teacher:
        tokens = json.loads(ask(teacher, question())[2])["usage"]["completion_tokens"]
        teacher.faults([{"kind": "slow", "times": 20}])
        ask(teacher, question())
        busy = teacher.stats()["busy_slot_seconds"]
    assert busy == pytest.approx(tokens * 0.00001 * 21)


def test_a_script_strikes_the_same_requests_every_time(teacher: SimulatedTeacher) -> None:
    script = [{"kind": "http_503", "rate": 0.3}, {"kind": "http_500", "rate": 0.3}]

    def run() -> list[int]:
        teacher.faults(script)
        return [ask(teacher, question())[0] for _ in range(60)]

    first = run()
    assert run() == first
    assert {200, 500, 503} == set(first)
    assert 8 <= first.count(503) <= 30


def test_a_fault_lasts_as_long_as_the_script_says() -> None:
    with SimulatedTeacher(Settings(time_scale=0.001)) as teacher:
        teacher.faults([{"kind": "http_503", "for_seconds": 200}])  # 0.2 s on the wall
        seen = []
        while 200 not in seen:
            seen.append(ask(teacher, question())[0])
    assert seen[0] == 503


def test_a_wrong_script_is_a_config_error_or_a_400(
    teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    for script in ([{"kind": "gremlins"}], [{"kind": "reset", "every": 2, "rate": 0.5}], {}):
        assert send(teacher, "POST", "/simulated/faults", script)[0] == 400
    (tmp_path / "faults.json").write_text('[{"kind": "reset", "evry": 2}]')
    command = [sys.executable, "-m", "infra.simulated", "--faults", str(tmp_path / "faults.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "evry" in done.stderr


def test_while_down_only_the_controls_answer(teacher: SimulatedTeacher) -> None:
    with closing(HTTPConnection(teacher.url.removeprefix("http://"), timeout=20)) as connection:
        connection.request("GET", "/health")
        connection.getresponse().read()
        teacher.down(True)
        with pytest.raises(ConnectionResetError):
            connection.sock.recv(1)
    assert outcome(teacher, question()) == "ConnectionResetError"
    teacher.down(False)
    assert ask(teacher, question())[0] == 200


# --- the process


def test_a_killed_teacher_comes_back_on_the_same_port() -> None:
    with SimulatedTeacher() as teacher:
        url, pid = teacher.url, teacher.pid
        ask(teacher, question())
        teacher.kill()
        with pytest.raises(URLError):
            urlopen(url + "/health", timeout=5)
        with pytest.raises(TeacherUnavailable):
            teacher.kill()
        teacher.restart()
        assert (teacher.url, teacher.stats()["requests"]) == (url, 0)
        assert teacher.pid != pid


def test_the_teacher_ends_when_its_parent_is_killed() -> None:
    script = (
        "from infra.simulated.start import SimulatedTeacher as T\n"
        "import os, signal\n"
        "with T() as t:\n"
        "    print(t.url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    alive = True
    while alive:  # a server that stays would run into the test's time limit
        try:
            urlopen(done.stdout.strip() + "/health", timeout=5).close()
        except OSError:
            alive = False


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="slots is 0"):
        Settings(slots=0)
    with pytest.raises(ConfigError, match="sigma is -1"):
        Settings(sigma=-1)


def test_a_port_that_is_taken_is_said_in_one_line(teacher: SimulatedTeacher) -> None:
    port = int(teacher.url.rpartition(":")[2])
    with pytest.raises(TeacherUnavailable), SimulatedTeacher(Settings(port=port)):
        pass
