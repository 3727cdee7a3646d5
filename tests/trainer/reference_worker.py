"""Commands of `python -m trainer` one after another on one rank; what each said, and how it ended.

A command whose job says "kill" runs in a process of its own that dies right before it commits its
first slice.
"""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from typing import Any

import torch

from manifests.errors import ScriptoriumError
from tests.trainer.ranks import answer
from trainer.cli import cli
from trainer.losses.reference_store import ReferenceStore


def main() -> None:
    torch.set_num_threads(1)
    # As without torchrun: one rank needs no port to meet others at.
    del os.environ["RANK"]
    jobs = json.loads(sys.argv[1])
    answer([killed(job["argv"]) if job.get("kill") else ended(job["argv"]) for job in jobs])


def killed(argv: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--die", json.dumps(argv)]
    return {"status": subprocess.run(command, timeout=120, check=False).returncode}


def die(argv: list[str]) -> None:
    ReferenceStore.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    ended(argv)


def ended(argv: list[str]) -> dict[str, Any]:
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            cli.main(argv, prog_name="trainer", standalone_mode=False)
    except ScriptoriumError as error:
        return {"status": 1, "error": str(error)}
    return {"status": 0, "out": out.getvalue()}


if __name__ == "__main__":
    die(json.loads(sys.argv[2])) if sys.argv[1] == "--die" else main()
