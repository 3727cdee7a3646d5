"""What megatron-core 0.16.1 needs to train without CUDA, on gloo: nothing is touched where CUDA is.

Megatron says "cuda" in places where it means "the device that I train on". Each shim mends one kind
of such place, and names where it bites; the tests leave each out and see it break there, so that we
notice when upstream mends it.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shim:
    """A patch, and who needs it."""

    name: str
    needed_by: str
    """The first place in megatron.core that fails without; there are others."""
    apply: Callable[[], None]


_INSTALLED: list[str] = []


def install(leave_out: Collection[str] = ()) -> tuple[str, ...]:
    """Apply all shims, once a process, unless there is CUDA; their names."""
    import torch

    if torch.cuda.is_available():
        return ()
    if not _INSTALLED:
        for shim in SHIMS:
            if shim.name not in leave_out:
                shim.apply()
                _INSTALLED.append(shim.name)
    return tuple(_INSTALLED)


def _current_device() -> None:
    import torch

    torch.cuda.current_device = lambda: torch.device("cpu")


def _device_literals() -> None:
    """For the rest of the process: a literal `device="cuda"`, and `.cuda()`, mean the CPU."""
    import torch

    class CpuForCuda(torch.overrides.TorchFunctionMode):  # type: ignore[misc]  # torch has no types here
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            device = kwargs.get("device")
            if isinstance(device, str) and device.startswith("cuda"):
                kwargs = {**kwargs, "device": "cpu"}
            return args[0] if func is torch.Tensor.cuda else func(*args, **kwargs)

    CpuForCuda().__enter__()


def _synchronize() -> None:
    import torch

    torch.cuda.synchronize = lambda device=None: None


def _random_states() -> None:
    """The tracker of random states keeps those of the CPU.

    Its own `fork` would also warn that the CPU's state changed in it, which here it must.
    """
    import torch
    from megatron.core.tensor_parallel import random

    random._get_cuda_rng_state = lambda device="cuda", clone=False, graph_safe=False: (
        torch.get_rng_state()
    )
    random._set_cuda_rng_state = lambda state, device=-1, graph_safe=False: torch.set_rng_state(
        state
    )
    torch.cuda.get_rng_state = lambda device="cuda": torch.get_rng_state()
    torch.cuda.manual_seed = torch.manual_seed

    @contextlib.contextmanager
    def fork(self: Any, name: str = random._MODEL_PARALLEL_RNG_TRACKER_NAME) -> Iterator[None]:
        before = torch.get_rng_state()
        torch.set_rng_state(self.states_[name])
        try:
            yield
        finally:
            self.states_[name] = torch.get_rng_state()
            torch.set_rng_state(before)

    random.CudaRNGStatesTracker.fork = fork


def _clip_gradients() -> None:
    from megatron.core.optimizer import optimizer

    def clip(
        parameters: Any, max_norm: float, total_norm: float, use_decoupled_grad: bool = False
    ) -> None:
        factor = max_norm / (total_norm + 1e-6)
        if factor < 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    optimizer.clip_grad_by_total_norm_fp32 = clip


def _parameter_types() -> None:
    import torch

    kinds = {torch.float32: "Float", torch.bfloat16: "BFloat16", torch.float16: "Half"}
    stock = torch.Tensor.type

    def kind(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or self.dtype not in kinds:
            return stock(self, *args, **kwargs)
        return f"torch.cuda.{kinds[self.dtype]}Tensor"

    torch.nn.Parameter.type = kind


SHIMS = (
    Shim(
        name="current_device",
        needed_by="distributed/param_and_grad_buffer.py",
        apply=_current_device,
    ),
    Shim(
        name="device_literals",
        needed_by="optimizer/optimizer.py",
        apply=_device_literals,
    ),
    Shim(
        name="synchronize",
        needed_by="dist_checkpointing/strategies/filesystem_async.py",
        apply=_synchronize,
    ),
    Shim(name="random_states", needed_by="tensor_parallel/random.py", apply=_random_states),
    Shim(name="clip_gradients", needed_by="optimizer/clip_grads.py", apply=_clip_gradients),
    Shim(
        name="parameter_types",
        needed_by="optimizer/distrib_optimizer.py",
        apply=_parameter_types,
    ),
)
"""Not one is for speed or taste: without it nothing trains here."""
