"""A signal to a command that has a child: the child gets it, and is waited for while it saves."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import pathlib, signal, sys
asked = {int(sys.argv[1])}
signal.pthread_sigmask(signal.SIG_BLOCK, asked)
print("up", flush=True)
signal.sigwait(asked)
pathlib.Path(sys.argv[2]).write_text("saved")
"""
PARENT = """
import sys
from pipelines.children import run_child
print("went on with", run_child([sys.executable, "-c", *sys.argv[1:]]))
"""
REPOSITORY = Path(__file__).parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_child_and_what_it_saves_is_waited_for(
    tmp_path: Path, number: signal.Signals
) -> None:
    parent = start(CHILD, str(int(number)), str(tmp_path / "file"))
    assert parent.stdout
    assert parent.stdout.readline() == "up\n"  # of the child
    parent.send_signal(number)
    assert parent.communicate(timeout=60) == ("", None)
    assert parent.returncode == 128 + number
    assert (tmp_path / "file").read_text() == "saved"


def test_without_a_signal_its_exit_status_is_told() -> None:
    parent = start("raise SystemExit(7)")
    assert parent.communicate(timeout=60)[0] == "went on with 7\n"
    assert parent.returncode == 0
