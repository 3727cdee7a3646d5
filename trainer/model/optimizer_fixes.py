"""A distributed optimizer that goes on from a checkpoint as if it had never stopped.

Without Transformer Engine and Apex the Adam inside Megatron's DistributedOptimizer is PyTorch's,
and megatron-core 0.16.1 has three faults in loading it. Two raise; the third lets Adam's step
counter run as many times too fast as there are parameters, and all that is seen is a loss that
leaves its curve. Call `before_loading` and `after_loading`; on any other optimizer they change
nothing.
"""

from collections.abc import Iterator
from typing import Any


def before_loading(optimizer: Any) -> None:
    """Make a new optimizer ready to take a checkpoint's state."""
    for distributed in _faulty(optimizer):
        begin_states(distributed)
        take_what_is_there(distributed)


def after_loading(optimizer: Any) -> None:
    """Repair what a load has left."""
    for distributed in _faulty(optimizer):
        part_steps(distributed)


def begin_states(distributed: Any) -> None:
    """A state of zeros a parameter: `state_dict`, which a load calls first, asserts that there is
    one, and a new Adam has none until its first step (distrib_optimizer.py, `state_dict`).
    """
    import torch

    inner = distributed.optimizer
    for group in inner.param_groups:
        for parameter in group["params"]:
            if not inner.state[parameter]:
                inner.state[parameter] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter.data),
                    "exp_avg_sq": torch.zeros_like(parameter.data),
                }


def take_what_is_there(distributed: Any) -> None:
    """Take the tensors that a checkpoint holds: Megatron goes by the keys that Adam has, and a
    checkpoint that fits any layout has no `step` among them (distrib_optimizer.py,
    `_set_main_param_and_optimizer_states`: KeyError).
    """

    def take(model_parameter: Any, tensors: dict[str, Any]) -> None:
        group, order = distributed.model_param_group_index_map[model_parameter]
        main = distributed.optimizer.param_groups[group]["params"][order]
        own = {"param": main, **distributed.optimizer.state[main]}
        for name, tensor in tensors.items():
            own[name].copy_(tensor)

    distributed._set_main_param_and_optimizer_states = take


def part_steps(distributed: Any) -> None:
    """A step counter a parameter: Megatron gives all of them one and the same tensor, to which
    Adam then adds 1 for every parameter (distrib_optimizer.py, `load_state_dict`).
    """
    for state in distributed.optimizer.state.values():
        state["step"] = state["step"].detach().clone()


def _faulty(optimizer: Any) -> Iterator[Any]:
    import torch
    from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

    for one in getattr(optimizer, "chained_optimizers", [optimizer]):
        if isinstance(one, DistributedOptimizer) and isinstance(
            one.optimizer, torch.optim.Adam | torch.optim.AdamW
        ):
            yield one
