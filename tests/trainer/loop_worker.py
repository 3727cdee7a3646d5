"""Runs commands of `python -m trainer` one after another on this rank, and answers how each ended.

A job is {"argv": [...]} and perhaps "fork" (in a child that may die; only the first jobs, on one
rank), "signal": [number, step, rank] (that rank gets it when the step begins), "publish": [number,
step] (before a checkpoint gets its name) or "room": [bytes, step, rank] (no file of that rank may
be larger from this step on). Signals and limits are real; only the moment is chosen here.
"""

import io
import json
import os
import resource
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import torch

from infra.ports import free_port
from manifests.errors import ScriptoriumError
from tests.trainer.ranks import answer
from trainer.cli import cli
from trainer.loop import directories, phase


def main() -> None:
    torch.set_num_threads(1)
    jobs = json.loads(sys.argv[1])
    found = []
    while jobs and jobs[0].get("fork"):  # as long as there are no threads that a fork would lose
        found.append(forked(jobs.pop(0)))
    # Where the ranks agree on a fresh meeting point for every job.
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    first = os.environ["RANK"] == "0"
    store = torch.distributed.TCPStore(address, port, is_master=first, wait_for_workers=False)
    for number, job in enumerate(jobs):
        if first:
            store.set(f"port {number}", str(free_port()))
        os.environ["MASTER_PORT"] = store.get(f"port {number}").decode()
        found.append(ended(job))
    answer(found)
    store.set(f"done {os.environ['RANK']}", "")
    if first:  # the store goes with its process
        store.wait([f"done {rank}" for rank in range(int(os.environ["WORLD_SIZE"]))])


def forked(job: dict[str, Any]) -> dict[str, Any]:
    child = os.fork()
    if not child:
        os.environ["MASTER_PORT"] = str(free_port())
        ended(job)
        os._exit(0)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def ended(job: dict[str, Any]) -> dict[str, Any]:
    out = io.StringIO()
    as_it_was = phase.seed_step, directories.publish
    try:
        arm(job)
        with redirect_stdout(out):
            cli.main(job["argv"], prog_name="trainer", standalone_mode=False)
    except ScriptoriumError as error:
        return {"status": 1, "error": str(error), "kind": type(error).__name__}
    except SystemExit as asked:
        return {"status": asked.code, "out": out.getvalue()}
    finally:
        phase.seed_step, directories.publish = as_it_was
        limited(resource.RLIM_INFINITY)
    return {"status": 0, "out": out.getvalue()}


def arm(job: dict[str, Any]) -> None:
    if "signal" in job:
        number, at, rank = job["signal"]
        mine = int(os.environ["RANK"]) == rank
        phase.seed_step = before(
            phase.seed_step, lambda seed, step: mine and step == at, lambda: told(number)
        )
    if "room" in job:
        most, at, rank = job["room"]
        mine = int(os.environ["RANK"]) == rank
        phase.seed_step = before(
            phase.seed_step, lambda seed, step: mine and step == at, lambda: limited(most)
        )
    if "publish" in job:
        number, at = job["publish"]
        directories.publish = before(
            directories.publish, lambda part, state: state.step == at, lambda: told(number)
        )


def told(number: int) -> None:
    os.kill(os.getpid(), number)


def limited(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def before(
    call: Callable[..., Any], due: Callable[..., bool], first: Callable[[], None]
) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        if due(*arguments):
            first()
        return call(*arguments)

    return both


if __name__ == "__main__":
    main()
