"""Checks of models on the two ranks of this group: layouts, leaks, and loading an optimizer."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from tests.trainer.model_checks import CONFIG, LENGTH, VOCABULARY, count, losses, machine, model
from tests.trainer.ranks import answer
from trainer.loop import checkpoint
from trainer.loop.disk import Disk
from trainer.model import optimizer_fixes
from trainer.model.leak import check_no_leak
from trainer.model.parallel import Parallel, arrange, start, stop

LAYOUTS = {
    "tensor": Parallel(tensor=2),
    "pipeline": Parallel(pipeline=2),
    "data": Parallel(data=2),
}


def layout(parallel: Parallel) -> dict[str, Any]:
    leaks = check_no_leak(model(parallel), LENGTH, VOCABULARY)
    return {
        "parameters": count(model(parallel)),
        "across": leaks.across,
        "causal": leaks.causal,
        "losses": losses(machine(parallel), parallel, range(2)),
        "tied": losses(machine(parallel, replace(CONFIG, tied=True)), parallel, range(2)),
    }


def failure(attempt: Callable[[], object]) -> str:
    """What it raised and where in Megatron, or nothing."""
    try:
        attempt()
    except Exception as error:
        places = [
            at for at in traceback.extract_tb(error.__traceback__) if "megatron" in at.filename
        ]
        return f"{type(error).__name__} {error} in {Path(places[-1].filename).name}"
    return ""


@contextmanager
def unfixed() -> Iterator[None]:
    """Loading as Megatron has it."""
    stock = checkpoint.before_loading, checkpoint.after_loading
    checkpoint.before_loading = checkpoint.after_loading = lambda optimizer: None
    try:
        yield
    finally:
        checkpoint.before_loading, checkpoint.after_loading = stock


def loading() -> dict[str, Any]:
    """A distributed optimizer's three faults, and that the fixes mend them."""
    parallel = LAYOUTS["data"]
    first = machine(parallel, distributed=True)
    losses(first, parallel, range(2))
    folder = [mkdtemp() if torch.distributed.get_rank() == 0 else ""]
    torch.distributed.broadcast_object_list(folder, 0)
    path = Path(folder[0])
    checkpoint.save(path, first.chunks, first.optimizer, Disk())
    torch.distributed.barrier()
    found: dict[str, Any] = {"straight": losses(first, parallel, range(2, 5))}

    def load(*fixes: Callable[[Any], object]) -> Any:
        fresh = machine(parallel, distributed=True)
        (inner,) = fresh.optimizer.chained_optimizers
        for fix in fixes:
            fix(inner)
        with unfixed():
            checkpoint.load(path, fresh.chunks, fresh.optimizer)
        return fresh

    found["no_states"] = failure(load)
    found["no_step"] = failure(lambda: load(optimizer_fixes.begin_states))
    shared = load(optimizer_fixes.begin_states, optimizer_fixes.take_what_is_there)
    found["shared_step"] = losses(shared, parallel, range(2, 5))
    fixed = machine(parallel, distributed=True)
    checkpoint.load(path, fixed.chunks, fixed.optimizer)
    found["fixed"] = losses(fixed, parallel, range(2, 5))
    return found


def main() -> None:
    torch.set_num_threads(1)
    start(LAYOUTS["data"])
    found: dict[str, Any] = {"loading": loading()}
    for name, parallel in LAYOUTS.items():
        assert Parallel.of(2, parallel.tensor, parallel.pipeline, CONFIG) == parallel
        arrange(parallel)
        found[name] = layout(parallel)
    answer(found)
    torch.distributed.barrier()
    stop()


if __name__ == "__main__":
    main()
