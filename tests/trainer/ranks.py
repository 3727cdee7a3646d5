"""A script on several gloo ranks, as torchrun would start it, and what each rank answers.

    found = run_ranks(Path(__file__).with_name("my_worker.py"), 2, "an argument")

The script is run as `python my_worker.py an argument` with RANK, WORLD_SIZE, LOCAL_RANK and
MASTER_* set; it calls `answer({...})` once. Each rank has a session of its own, and all of them are
killed, with all that they started, when one fails or time is up.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from select import POLLIN, poll
from time import monotonic
from typing import Any

from infra.ports import free_port

_ANSWER = "RANKS_ANSWER"


def answer(value: object) -> None:
    """In a rank: what the test shall read; JSON."""
    Path(os.environ[_ANSWER]).write_text(json.dumps(value))


def run_ranks(
    script: Path,
    ranks: int,
    *arguments: str,
    timeout: float = 240,
    environment: Mapping[str, str] | None = None,
) -> list[Any]:
    """The answers by rank, None where a rank gave none.

    Raises:
        AssertionError: A rank failed, or not all were done in time; with what it wrote.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started: list[subprocess.Popen[bytes]] = []
        shared = {**os.environ, **_rendezvous(ranks), **(environment or {})}
        try:
            for rank in range(ranks):
                started.append(_start([str(script), *arguments], rank, shared, folder))
            _wait(started, folder, timeout)
        finally:
            for process in started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        answers = [folder / f"{rank}.json" for rank in range(ranks)]
        return [json.loads(path.read_text()) if path.exists() else None for path in answers]


def _rendezvous(ranks: int) -> dict[str, str]:
    return {
        "TORCH_COMPILE_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(ranks),
    }


def _start(
    command: list[str], rank: int, shared: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    mine = {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", _ANSWER: str(folder / f"{rank}.json")}
    with (folder / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *command],
            env={**shared, **mine},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait(started: list[subprocess.Popen[bytes]], folder: Path, timeout: float) -> None:
    """Until all ended well; the first that did not is told of at once."""
    until = monotonic() + timeout
    ends = {os.pidfd_open(process.pid): rank for rank, process in enumerate(started)}
    waiting = poll()
    for end in ends:
        waiting.register(end, POLLIN)
    try:
        left = set(ends)
        while left:
            found = waiting.poll(max(0.0, until - monotonic()) * 1000)
            if not found:
                told = _told(folder, ends[min(left)])
                raise AssertionError(f"ranks not done in {timeout} s: {told}")
            for end, _ in found:
                rank = ends[end]
                if code := started[rank].wait():
                    raise AssertionError(f"rank {rank} ended with {code}: {_told(folder, rank)}")
                waiting.unregister(end)
                left.discard(end)
    finally:
        for end in ends:
            os.close(end)


def _told(folder: Path, rank: int) -> str:
    return (folder / f"{rank}.log").read_text(errors="replace")[-6000:]
