"""Model and optimizer to a directory and back, on any number of ranks.

Megatron's `dist_checkpointing` writes tensors by their place in the whole model, so that ranks of
another layout find their parts. The distributed optimizer is written as if it were not distributed
(`fully_reshardable`), for the same reason.
"""

import logging
import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.model.optimizer_fixes import after_loading, before_loading

METADATA = {
    "distrib_optim_sharding_type": "fully_reshardable",
    "distrib_optim_fully_reshardable_mem_efficient": False,
}


def save(path: Path, chunks: Sequence[Any], optimizer: Any) -> None:
    """Write a checkpoint's tensors into an empty directory that all ranks see."""
    from megatron.core import dist_checkpointing
    from megatron.core.dist_checkpointing.strategies import filesystem_async
    from megatron.core.dist_checkpointing.strategies.torch import TorchDistSaveShardedStrategy

    # Results go back within this process. Megatron's own queue lives in a manager process, which
    # goes on for ever when its rank is killed.
    filesystem_async._results_queue = queue.Queue()
    logging.getLogger("megatron.core.dist_checkpointing").setLevel(logging.ERROR)
    state = _sharded(chunks, optimizer, is_loading=False)
    dist_checkpointing.save(state, str(path), TorchDistSaveShardedStrategy("torch_dist", 1))


def load(path: Path, chunks: Sequence[Any], optimizer: Any | None) -> None:
    """Bring the model, and the optimizer where one is given, to what a checkpoint holds.

    Without one the caller's optimizer has to be told that the weights are others.
    """
    from megatron.core import dist_checkpointing
    from megatron.core.utils import unwrap_model

    if optimizer is not None:
        before_loading(optimizer)
    found = dist_checkpointing.load(_sharded(chunks, optimizer, is_loading=True), str(path))
    for number, chunk in enumerate(unwrap_model(list(chunks))):
        chunk.load_state_dict(found[_name(number, chunks)])
    if optimizer is not None:
        optimizer.load_state_dict(found["optimizer"])
        after_loading(optimizer)


def _sharded(chunks: Sequence[Any], optimizer: Any | None, *, is_loading: bool) -> dict[str, Any]:
    from megatron.core.utils import unwrap_model

    bare = unwrap_model(list(chunks))
    state = {_name(number, bare): chunk.sharded_state_dict() for number, chunk in enumerate(bare)}
    if optimizer is not None:
        model = state if len(chunks) > 1 else state["model"]
        state["optimizer"] = optimizer.sharded_state_dict(
            model, is_loading=is_loading, metadata=METADATA
        )
    return state


def _name(number: int, chunks: Sequence[Any]) -> str:
    return "model" if len(chunks) == 1 else f"model{number}"
