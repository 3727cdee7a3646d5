"""What ranks tell each other beside tensors: that all are here, and that all mean the same."""

from typing import Any, TypeVar

from manifests.errors import DataError

_Value = TypeVar("_Value")


def barrier() -> None:
    """Wait until all ranks are here."""
    import torch

    torch.distributed.barrier()


def from_first(value: _Value | None) -> _Value:
    """What rank 0 says, on all ranks."""
    import torch

    told: list[Any] = [value]
    torch.distributed.broadcast_object_list(told, 0)
    found: _Value = told[0]
    return found


def largest(number: int, device: Any) -> int:
    """The largest of all ranks' numbers."""
    import torch

    value = torch.tensor([number], dtype=torch.int64, device=device)
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return int(value.item())


def agree(what: str, mine: str) -> None:
    """Raise DataError, on all ranks, where one has something else here."""
    import torch

    told: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(told, mine)
    others = [rank for rank, theirs in enumerate(told) if theirs != told[0]]
    if others:
        raise DataError(
            f"{what}: rank {others[0]} has {told[others[0]]}, and rank 0 has {told[0]}; are all"
            " ranks on the same version of the code, and do they see the same store?"
        )
