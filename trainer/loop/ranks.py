"""What ranks tell each other beside tensors."""

from typing import Any, TypeVar

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


def from_all(value: _Value) -> list[_Value]:
    """What each rank says, by rank, on all of them."""
    import torch

    told: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(told, value)
    return told


def largest(number: int, device: Any) -> int:
    """The largest of all ranks' numbers."""
    import torch

    value = torch.tensor([number], dtype=torch.int64, device=device)
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return int(value.item())
