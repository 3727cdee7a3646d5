"""Real stores to test against; S3 is a moto server on loopback, one for the whole test run."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from infra.ports import free_port
from manifests.store import Store, open_store

# A shell's background jobs ignore Ctrl-C, and so would what the tests start, which some interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class _Scopes(LoadScopeScheduling):
    """Where several processes share the tests, one has all that need the Ray cluster, else a file.

    Fixtures of a module, and the one cluster, are made once.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "ray" if file.startswith("tests/pipelines/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Of pytest-xdist: who gets which test."""
    return _Scopes(config, log)


# moto looks whether a key is there and sets it in two steps. One request at a time makes that the
# one step that S3 promises, so that races are fair.
SERVER = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
application = DomainDispatcherApplication(create_backend_app)
run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=False)
"""


def _serve_moto(environment: dict[str, str]) -> Iterator[str]:
    """The endpoint of a fresh moto server, which ends with the generator."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _answers(endpoint):
            assert server.poll() is None, "the moto server ended"
            assert time.monotonic() < deadline, "the moto server does not answer"
            time.sleep(0.1)
        yield endpoint
    finally:
        server.kill()
        server.wait()


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    yield from _serve_moto({})


@pytest.fixture(scope="session")
def moto_credentials() -> dict[str, str]:
    return CREDENTIALS


@pytest.fixture
def s3_environment(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """AWS's environment variables set for the moto server; gives its endpoint."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": moto_endpoint}.items():
        monkeypatch.setenv(name, value)
    return moto_endpoint


@pytest.fixture
def s3_that_checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS's variables set for a server that knows no credentials and wants them."""
    for endpoint in _serve_moto({"INITIAL_NO_AUTH_ACTION_COUNT": "0"}):
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture
def bucket(s3_environment: str) -> str:
    """The name of a new bucket."""
    name = f"bucket-{secrets.token_hex(6)}"
    request = urllib.request.Request(f"{s3_environment}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    return name


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "root"))
    if request.param == "memory":
        return open_store(f"memory://{secrets.token_hex(6)}")
    return open_store(f"s3://{request.getfixturevalue('bucket')}/some/prefix")
