"""Supervision of a server process.

The process is a small stand-in with vLLM's module path and arguments, so that deaths can be had on
demand; the real vLLM runs in the test with the marker `teacher`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.teacher.launch import Launch, directory_revision, split_extra
from infra.teacher.serving import Serving
from manifests.errors import ConfigError, TeacherUnavailable

STAND_IN = """
import json, os, pathlib, subprocess, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = sys.argv[1:]
at = arguments.index("--served-model-name")
names = [a for a in arguments[at + 1 : at + 3] if not a.startswith("--")]
here = pathlib.Path(os.environ["STAND_IN"])
lives = len(list(here.glob("life-*")))
(here / f"life-{lives}").write_text(str(os.getpid()))
if (here / "broken").exists():
    sys.exit("no room for the model")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(here / f"child-{lives}").write_text(str(child.pid))

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        if self.path == "/exit0":
            os._exit(0)
        self.answer({"data": [{"id": name} for name in names]})
    def do_POST(self):
        self.answer({"choices": [{"text": "!"}]})

port = int(arguments[arguments.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "path" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(STAND_IN)
    state = tmp_path / "lives"
    state.mkdir()
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'path'}{os.pathsep}{root}")
    monkeypatch.setenv("STAND_IN", str(state))
    return state


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return status != "Z"


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_model_directory_is_pinned_by_its_content(model: Path) -> None:
    before = directory_revision(model)
    (model / "README.md").write_text("not a part of the model")
    assert directory_revision(model) == before
    assert len(before) == 12
    (model / "model.safetensors").write_bytes(b"Weights")
    assert directory_revision(model) != before
    (model / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        directory_revision(model)


def test_what_cannot_start_is_refused_before_anything_starts(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model directory at \./gone"):
        Launch(model="./gone").check()
    with pytest.raises(ConfigError, match="no Python at /nonexistent/python"):
        Launch(model=str(model), python="/nonexistent/python").check()
    with pytest.raises(ConfigError, match="before the `--`"):
        split_extra(["--port=3"])


def test_an_interpreter_without_vllm_is_refused(model: Path) -> None:
    if (
        subprocess.run(
            [sys.executable, "-c", "import vllm"], capture_output=True, check=False
        ).returncode
        == 0
    ):
        pytest.skip("this interpreter has vLLM")
    with pytest.raises(ConfigError, match="has no vllm"):
        Launch(model=str(model), python=sys.executable).check()


def test_stopping_ends_the_whole_process_group(model: Path, lives: Path) -> None:
    with Serving(Launch(model=str(model), python=sys.executable)) as serving:
        assert serving.teacher.name == f"tiny@{directory_revision(model)}"
        pids = [int((lives / name).read_text()) for name in ("life-0", "child-0")]
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)


def test_a_server_that_ends_is_started_again_even_when_it_ends_with_0(
    model: Path, lives: Path
) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    launch = Launch(model=str(model), python=sys.executable)
    with Serving(launch, backoff_seconds=0.05) as serving:
        orphan = int((lives / "child-0").read_text())
        with pytest.raises((URLError, OSError)):
            urlopen(f"{serving.url}/exit0", timeout=10)
        until(lambda: (lives / "child-1").exists())
        until(lambda: not alive(orphan))
        os.kill(int((lives / "life-1").read_text()), signal.SIGKILL)
        until(lambda: (lives / "child-2").exists())


def test_a_server_that_cannot_start_ends_with_the_last_lines_of_its_log(
    model: Path, lives: Path
) -> None:
    (lives / "broken").touch()
    with pytest.raises(TeacherUnavailable, match=r"did not start(.|\n)*no room for the model"):
        Serving(Launch(model=str(model), python=sys.executable)).start()


def test_a_server_that_keeps_dying_is_given_up(model: Path, lives: Path) -> None:
    launch = Launch(model=str(model), python=sys.executable)
    with Serving(launch, backoff_seconds=0.01, restarts=2) as serving:
        (lives / "broken").touch()
        os.kill(int((lives / "life-0").read_text()), signal.SIGKILL)
        with pytest.raises(TeacherUnavailable, match="died 3 times in a row"):
            serving.wait()
    assert len(list(lives.glob("life-*"))) == 3


def test_the_command_says_when_it_is_ready_and_stops_on_sigterm(model: Path, lives: Path) -> None:
    command = [sys.executable, "-m", "infra.teacher", "serve", "--model", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, url, teacher = process.stdout.readline().split()
        assert (word, teacher) == ("ready", f"tiny@{directory_revision(model)}")
        assert url.startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait(30) == 0
    assert not alive(int((lives / "life-0").read_text()))


def test_a_supervisor_that_is_killed_leaves_no_server_behind(model: Path, lives: Path) -> None:
    command = [sys.executable, "-m", "infra.teacher", "serve", "--model", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    until(lambda: not alive(int((lives / "life-0").read_text())))
    os.kill(int((lives / "child-0").read_text()), signal.SIGKILL)


@pytest.mark.teacher
def test_the_real_vllm_serves_a_real_model() -> None:
    """Needs a model directory in SCRIPTORIUM_TEACHER_MODEL."""
    model = os.environ.get("SCRIPTORIUM_TEACHER_MODEL")
    if not model:
        pytest.skip("SCRIPTORIUM_TEACHER_MODEL names no model directory")
    with Serving(Launch(model=model, max_model_len=2048)) as serving:
        command = [sys.executable, "-m", "infra.teacher", "check", serving.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert serving.teacher.name in done.stdout
