"""A vLLM server under supervision: started, waited for, restarted when it dies, stopped whole.

A supervisor thread owns the process. `start` returns when the server has answered a completion, not
when a port is open. A server that ends is started again, also when it ends with status 0, until it
has ended too often in a row.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import Request, urlopen

from infra.ports import free_port
from infra.teacher.launch import Launch
from infra.teacher.models import UNPINNED, Teacher
from manifests.errors import TeacherUnavailable

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1


class Serving:
    """A context manager; `with Serving(Launch(model=...)) as serving: serving.url`."""

    def __init__(
        self,
        launch: Launch,
        *,
        port: int = 0,
        log: Path | None = None,
        restarts: int = 5,
        start_seconds: float = 1800.0,
        backoff_seconds: float = 2.0,
    ) -> None:
        """Args:
        launch: What to start.
        port: 0 takes a free one.
        log: Where vLLM's output goes; by default a file of its own in the temporary folder.
        restarts: How often in a row it may die before we give up; being ready clears the count.
        start_seconds: How long a start may take; loading a large model takes long.
        backoff_seconds: Wait before the first restart; it doubles up to a minute.
        """
        self._launch, self._restarts = launch, restarts
        self._start_seconds, self._backoff = start_seconds, backoff_seconds
        self._port = port
        self.log = log
        """vLLM's output."""
        self.teacher = Teacher("")
        """Known after `start`."""
        self._process: subprocess.Popen[bytes] | None = None
        self._ready, self._stop, self._over = (threading.Event() for _ in range(3))
        self._thread: threading.Thread | None = None
        self._failure = ""

    @property
    def url(self) -> str:
        """Without `/v1`."""
        host = "127.0.0.1" if self._launch.host in ("0.0.0.0", "::") else self._launch.host
        return f"http://{host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process, which leads its process group."""
        return self._process.pid if self._process else None

    def __enter__(self) -> "Serving":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> bool:
        """Start, and return when it answers: True, or False when asked to stop before that.

        Raises:
            ConfigError: There is no such model, or no vLLM.
            TeacherUnavailable: It does not come up; the message ends with its log's last lines.
        """
        self._launch.check()
        self.teacher = self._launch.teacher()
        self._port = self._port or free_port(self._launch.host)
        if self.log is None:
            handle, name = tempfile.mkstemp(prefix="teacher-", suffix=".log")
            os.close(handle)
            self.log = Path(name)
        self._thread = threading.Thread(target=self._supervise, name="teacher", daemon=True)
        self._thread.start()
        while not self._ready.wait(0.1):
            if self._over.is_set():
                if self._failure:
                    raise TeacherUnavailable(self._failure)
                return False
        return True

    def wait(self) -> None:
        """Return when stopped.

        Raises:
            TeacherUnavailable: It died too often.
        """
        self._over.wait()
        if self._failure:
            raise TeacherUnavailable(self._failure)

    def ask_to_stop(self) -> None:
        """Begin to stop; safe in a signal handler."""
        self._stop.set()

    def stop(self) -> None:
        """Stop the whole process group and wait until it is gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _supervise(self) -> None:
        deaths = 0
        try:
            while not self._stop.is_set():
                if self._run_once():
                    deaths = 0
                if self._stop.is_set():
                    return
                deaths += 1
                if deaths > self._restarts or not self._ready.is_set():
                    self._failure = self._obituary(deaths)
                    return
                wait = min(self._backoff * 2 ** (deaths - 1), 60.0)
                _log.warning("the teacher died; starting it again in %.0f s", wait)
                self._stop.wait(wait)
        except OSError as error:
            self._failure = f"vLLM could not be started: {error}"
        finally:
            self._over.set()

    def _run_once(self) -> bool:
        """One life of the server; True if it was ready at some time."""
        assert self.log is not None
        command = self._launch.command(self.teacher, self._port)
        _log.info("starting %s (log: %s)", self.teacher, self.log)
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._launch.environment(os.environ),
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        was_ready = False
        try:
            deadline = time.monotonic() + self._start_seconds
            while process.poll() is None and not self._stop.wait(0.2):
                if not was_ready and self._answers():
                    was_ready = True
                    self._ready.set()
                    _log.info("%s answers at %s", self.teacher, self.url)
                if not was_ready and time.monotonic() > deadline:
                    break
        finally:
            _end_group(process)
        return was_ready

    def _answers(self) -> bool:
        """Whether it lists our model and completes one token."""
        name = self.teacher.model if self.teacher.revision == UNPINNED else self.teacher.name
        asked = {"model": name, "prompt": "Hello", "max_tokens": 1}
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        completion = Request(
            f"{self.url}/v1/completions", data=json.dumps(asked).encode(), headers=headers
        )
        try:
            with urlopen(Request(f"{self.url}/v1/models", headers=headers), timeout=5) as response:
                served = {row["id"] for row in json.load(response)["data"]}
            with urlopen(completion, timeout=120) as response:
                return name in served and bool(json.load(response)["choices"])
        except (URLError, OSError, ValueError, LookupError, TypeError):
            return False

    def _obituary(self, deaths: int) -> str:
        assert self.log is not None
        code = self._process.returncode if self._process else None
        tail = self.log.read_text("utf-8", "replace").splitlines()[-15:]
        how = "did not start" if not self._ready.is_set() else f"died {deaths} times in a row"
        said = "\n  ".join(tail) or "(nothing)"
        return f"vLLM {how} (status {code}); the last lines of {self.log}:\n  {said}"


def _die_with_parent() -> None:
    """Linux: a supervisor that is killed leaves no engine behind that holds the GPU."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL, to everything that the server started."""
    for number, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and _group_lives(process):
            time.sleep(0.05)
        if not _group_lives(process):
            break
    process.wait()


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything in the group still runs; in containers nobody may reap the dead."""
    process.poll()
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return False
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == process.pid and state not in "ZX":
                return True
    return False
