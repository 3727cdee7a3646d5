"""Model and optimizer to a directory and back, on any number of ranks.

Megatron's `dist_checkpointing` writes tensors by their place in the whole model, so that ranks of
another layout find their parts. The distributed optimizer is written as if it were not distributed
(`fully_reshardable`), for the same reason.
"""

import io
import logging
import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests.errors import DataError
from trainer.loop.disk import Disk
from trainer.model.optimizer_fixes import after_loading, before_loading

METADATA = {
    "distrib_optim_sharding_type": "fully_reshardable",
    "distrib_optim_fully_reshardable_mem_efficient": False,
}


def save(path: Path, chunks: Sequence[Any], optimizer: Any, disk: Disk) -> None:
    """Write a checkpoint's tensors into an empty directory that all ranks see.

    All ranks call this together, and all come to its end, wherever the disk fails one of them: what
    was not written is noted in `disk`.
    """
    import torch
    from megatron.core.dist_checkpointing.core import CheckpointingConfig, save_config
    from megatron.core.dist_checkpointing.state_dict_utils import save_preprocess
    from megatron.core.dist_checkpointing.strategies import filesystem_async
    from torch.distributed.checkpoint.api import CheckpointException

    # Results go back within this process. Megatron's own queue lives in a manager process, which
    # goes on for ever when its rank is killed.
    filesystem_async._results_queue = queue.Queue()
    # What fails is told by us.
    logging.getLogger("megatron.core.dist_checkpointing").setLevel(logging.CRITICAL)
    first = torch.distributed.get_rank() == 0
    # As dist_checkpointing.save has it, where rank 0 raises alone when it cannot write its files.
    sharded, common = save_preprocess(_sharded(chunks, optimizer, is_loading=False))
    strategy = _strategy(disk)
    with disk.noting():
        if first:
            _write(common, path / "common.pt")
    try:
        strategy.save(sharded, path)
    except CheckpointException as error:  # on all ranks; the first knows why
        for failed, _ in error.failures.values():
            disk.note(failed)
    with disk.noting():
        if first:
            save_config(CheckpointingConfig(strategy.backend, strategy.version), str(path))


def _strategy(disk: Disk) -> Any:
    """Megatron's, but what fails on one rank only does not end it there."""
    from megatron.core.dist_checkpointing.strategies.torch import TorchDistSaveShardedStrategy

    class Strategy(TorchDistSaveShardedStrategy):  # type: ignore[misc]  # megatron has no types
        def _get_save_and_finalize_callbacks(self, writer: Any, planned: Any) -> Any:
            writer.finish = disk.noting()(writer.finish)
            request = super()._get_save_and_finalize_callbacks(writer, planned)
            write = request.async_fn
            return request._replace(async_fn=write and disk.noting()(write))

    return Strategy("torch_dist", 1)


def _write(common: object, path: Path) -> None:
    """By way of memory: straight to a file `torch.save` hides why it failed."""
    import torch

    data = io.BytesIO()
    torch.save(common, data)
    path.write_bytes(data.getbuffer())


def load(path: Path, chunks: Sequence[Any], optimizer: Any | None) -> None:
    """Bring the model, and the optimizer where one is given, to what a checkpoint holds.

    Without one the caller's optimizer has to be told that the weights are others.

    Raises:
        DataError: The tensors cannot be read.
    """
    from megatron.core import dist_checkpointing
    from megatron.core.utils import unwrap_model
    from torch.distributed.checkpoint.api import CheckpointException

    if optimizer is not None:
        before_loading(optimizer)
    wanted = _sharded(chunks, optimizer, is_loading=True)
    try:
        found = dist_checkpointing.load(wanted, str(path))
    except CheckpointException as error:  # on all ranks
        why = "; ".join(str(failed).partition("\n")[0] for failed, _ in error.failures.values())
        raise DataError(
            f"{path}: its tensors cannot be read ({why}); copy the checkpoint again, or remove its"
            " directory to go on from an older one"
        ) from error
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
