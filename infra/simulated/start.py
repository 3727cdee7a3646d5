"""A simulated teacher in a process of its own, for tests and benchmarks.

Its own process, so that it shares neither event loop nor interpreter with the client it measures.
It ends with whoever started it, however that ends, because it watches its standard input.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from os import environ, pathsep
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

from infra.simulated.settings import Settings
from manifests.errors import TeacherUnavailable

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 30.0
"""Seconds for the server to answer a control request, or to stop."""


class SimulatedTeacher:
    """A context manager; `with SimulatedTeacher(Settings(slots=8)) as teacher: teacher.url`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        """`http://127.0.0.1:PORT`; the API is under `/v1`."""

    def __enter__(self) -> "SimulatedTeacher":
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._running().pid

    def stats(self) -> dict[str, Any]:
        """What the server did since its start or the last reset."""
        figures: dict[str, Any] = self._call("stats")
        return figures

    def reset(self) -> None:
        """Counts to zero, prefix cache empty, the fault script from its beginning."""
        self._call("reset", {})

    def faults(self, script: Sequence[dict[str, Any]]) -> None:
        """Replace the fault script; see `infra.simulated.faults.Fault`."""
        self._call("faults", list(script))

    def rules(self, rules: Sequence[dict[str, Any]]) -> None:
        """Replace the answer rules; see `infra.simulated.answers.AnswerRule`."""
        self._call("rules", list(rules))

    def down(self, down: bool) -> None:
        """While down, every connection but those to `/simulated/` is reset."""
        self._call("control", {"down": down})

    def kill(self) -> None:
        """SIGKILL."""
        process = self._running()
        process.kill()
        self._reap()

    def stop(self) -> None:
        """SIGTERM, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._reap()

    def restart(self) -> None:
        """Start it again on the same port, with all its counts and scripts as at the start."""
        self.stop()
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "infra.simulated", "--until-stdin-closes"]
        path = pathsep.join(filter(None, [str(_ROOT), environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            command + self._settings.arguments(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environ, "PYTHONPATH": path},
            text=True,
        )
        self._process = process
        assert process.stdout is not None
        word, _, url = process.stdout.readline().strip().partition(" ")
        if word != "ready":
            self._reap()
            raise TeacherUnavailable("the simulated teacher did not start; see its error above")
        self.url = url
        self._settings = replace(self._settings, port=int(url.rpartition(":")[2]))

    def _reap(self) -> None:
        process = self._running()
        self._process = None
        try:
            process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            raise TeacherUnavailable("the simulated teacher is not running")
        return self._process

    def _call(self, name: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/simulated/{name}", data=data)
        with urlopen(request, timeout=_TIMEOUT) as response:
            return json.load(response)
