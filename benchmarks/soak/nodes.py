"""Ray on two nodes of this machine, whose processes can be killed one by one."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from infra.ports import free_port

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 90.0
WORKER = "ray::_GenerateWorker"


class Nodes:
    """A head and a second node; each is one `ray start --block` and what it started."""

    def __init__(self, home: Path) -> None:
        self._home = home
        token = home / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self._gcs, self._dashboard = free_port(), free_port()
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ADDRESS": f"127.0.0.1:{self._gcs}",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }
        self._head: subprocess.Popen[bytes] | None = None
        self._second: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start what is not running, and wait until the head answers."""
        if self._head is None:
            self._head = self._ray(
                *("--head", f"--port={self._gcs}", "--num-cpus=2", f"--temp-dir={self._home}/ray"),
                "--dashboard-host=127.0.0.1",
                *("--include-dashboard=true", f"--dashboard-port={self._dashboard}"),
                *(f"--ray-client-server-port={free_port()}", "--disable-usage-stats"),
                f"--dashboard-agent-listen-port={free_port()}",
            )
            self._wait_for_head()
        if self._second is None:
            self._second = self._ray(
                *(f"--address=127.0.0.1:{self._gcs}", "--num-cpus=2"),
                f"--dashboard-agent-listen-port={free_port()}",
            )

    def kill_second(self) -> bool:
        """SIGKILL the raylet of the second node, and its workers with it."""
        return self._kill("_second", "raylet")

    def kill_head(self) -> bool:
        """SIGKILL the control store; the whole cluster is then taken down."""
        killed = self._kill("_head", "gcs_server")
        self._take_down("_second")
        return killed

    def workers(self) -> list[psutil.Process]:
        """The generate workers that run now on these nodes."""
        family = [*self._family("_head"), *self._family("_second")]
        return [process for process in family if _line(process).startswith(WORKER)]

    def kill_worker(self) -> bool:
        """SIGKILL one of them."""
        for process in self.workers():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
                return True
        return False

    def stop(self) -> None:
        """Take everything down."""
        self._take_down("_second")
        self._take_down("_head")

    def _ray(self, *arguments: str) -> "subprocess.Popen[bytes]":
        log = (self._home / "ray.log").open("ab")
        return subprocess.Popen(
            ["ray", "start", "--block", *arguments],
            env={k: v for k, v in self.environment.items() if k != "RAY_ADDRESS"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _kill(self, which: str, program: str) -> bool:
        """SIGKILL one program of a node, then whatever the node leaves."""
        killed = False
        for process in self._family(which):
            with suppress(psutil.NoSuchProcess):
                if process.name() == program:
                    process.send_signal(signal.SIGKILL)
                    killed = True
        time.sleep(1.0)  # its workers see the death before they are cleared away
        self._take_down(which)
        return killed

    def _family(self, which: str) -> Iterator[psutil.Process]:
        node = getattr(self, which)
        if node is not None:
            with suppress(psutil.NoSuchProcess):
                own = psutil.Process(node.pid)
                yield from (*own.children(recursive=True), own)

    def _take_down(self, which: str) -> None:
        family = list(self._family(which))
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        node = getattr(self, which)
        if node is not None:
            node.wait()
        setattr(self, which, None)

    def _wait_for_head(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self._dashboard}", timeout=2).close()
                return
            time.sleep(0.5)
        raise TimeoutError(f"Ray did not start in {START_SECONDS:.0f} s; see {self._home}/ray.log")


def _line(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
