"""One Ray cluster for the whole test run, with token auth on, and drivers started as people do."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from infra.ports import free_port

REPOSITORY = Path(__file__).parents[2]
METHODS = Path(__file__).parent / "methods"
"""Importable by drivers and workers: methods that misbehave."""
WORKER = "ray::_GenerateWorker"


@dataclass
class Cluster:
    """A Ray head and the environment that its drivers need."""

    environment: dict[str, str]
    dashboard: str
    head: int
    """The process of the head, above all that the cluster starts."""
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    def pipelines(self, *arguments: str, log: Path | None = None) -> subprocess.Popen[str]:
        """`python -m pipelines ...` as a process; its stderr in `log`, to read while it runs."""
        return self.python("-m", "pipelines", *arguments, log=log)

    def python(self, *arguments: str, log: Path | None = None) -> subprocess.Popen[str]:
        """A driver that is started so."""
        driver = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=log.open("w") if log else subprocess.PIPE,
            text=True,
        )
        self.drivers.append(driver)
        return driver

    def finished(self, driver: subprocess.Popen[str], seconds: float = 240) -> str:
        """What a driver printed, once it ended well."""
        out, err = driver.communicate(timeout=seconds)
        assert driver.returncode == 0, f"exit {driver.returncode}\n{out}\n{err}"
        return out

    def kill_worker(self) -> bool:
        """SIGKILL one generate worker of this cluster, if there is one."""
        for process in psutil.Process(self.head).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if " ".join(process.cmdline()).startswith(WORKER):
                    process.send_signal(signal.SIGKILL)
                    return True
        return False

    def wait_until(
        self, driver: subprocess.Popen[str], true: Callable[[], bool], what: str
    ) -> None:
        """Wait for something to become true while a driver runs."""

        def still() -> bool:
            if driver.poll() is not None:
                out, err = driver.communicate()
                raise AssertionError(f"{what}: the driver ended, {driver.returncode}\n{out}\n{err}")
            return true()

        wait_until(still, what)

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        """Wait for something to become true."""
        wait_until(true, what)

    def verified(self, step: str, root: str) -> None:
        """The independent verifier finds nothing in a complete step, nor in any before it."""
        command = [sys.executable, "-m", "manifests", "step", "verify", step, "--root", root]
        done = subprocess.run(
            [*command, "--inputs", "--complete", "--json"],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["ok"]


def wait_until(true: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, moto_endpoint: str, moto_credentials: dict[str, str]
) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("ray")
    token = home / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    gcs, dashboard = free_port(), free_port()
    environment = {
        **os.environ,
        **moto_credentials,
        "AWS_ENDPOINT_URL": moto_endpoint,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(REPOSITORY), str(METHODS), os.environ.get("PYTHONPATH")])
        ),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    command = ["ray", "start", "--head", "--block", f"--port={gcs}", "--num-cpus=4"]
    command += ["--include-dashboard=true", "--dashboard-host=127.0.0.1"]
    command += [f"--dashboard-port={dashboard}", "--disable-usage-stats"]
    # A job is given the address of the last cluster that was started over its folder. The path is
    # short, for sockets lie below it.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    command += [f"--temp-dir={folder}"]
    command += [f"--ray-client-server-port={free_port()}"]
    # A second cluster on this machine has the usual port, and without it no job can be submitted.
    command += [f"--dashboard-agent-listen-port={free_port()}"]
    log = (home / "head.log").open("w")
    head = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        wait_until(lambda: _answers(address), f"the Ray dashboard, see {home}/head.log")
        environment["RAY_ADDRESS"] = f"127.0.0.1:{gcs}"
        yield Cluster(environment=environment, dashboard=address, head=head.pid)
    finally:
        head.terminate()
        with suppress(subprocess.TimeoutExpired):
            head.wait(30)
        head.kill()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/api/version", timeout=2):
        return True
    with suppress(OSError):
        request = urllib.request.Request(address)
        with urllib.request.urlopen(request, timeout=2):
            return True
    return False


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Six JSONL files of six documents each, every one of them different prose."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for file in range(6):
        lines = [json.dumps({"text": prose(file, number)}) for number in range(6)]
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def prose_of() -> Callable[[int, int], str]:
    """The text of document `number` of file `file`."""
    return prose


def prose(file: int, number: int) -> str:
    """A few paragraphs about something that only this document is about."""
    things = ("harbour", "orchard", "foundry", "archive", "meadow", "quarry")
    where, what = things[file], things[number]
    year = 1801 + 17 * file + number
    return "\n\n".join(
        f"The {where} of Saint {what.title()} was measured in {year + part}. Its keepers wrote "
        f"that {40 + 3 * part + number} carts a day passed the {what}, because the old road was "
        f"flooded twice, and therefore every cart paid {5 + part} pence. When the {where} was "
        f"closed for repair, trade moved to the {what}, so prices there rose by {10 + part} "
        "percent within one season, and the council decided to build a second gate."
        for part in range(4)
    )
