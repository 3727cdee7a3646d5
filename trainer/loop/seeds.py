"""Random numbers as arithmetic: every step starts from seeds of its own, so no state is saved.

With the same layout of ranks a resumed run drops out what an uninterrupted one would have. At
dropout 0, which phi-4 trains with [HF], nothing depends on them after initialisation.
"""

from manifests.permutation import base_key

_BITS = 48
"""Megatron adds small numbers to a seed and hands it on; it must stay far below 2^63."""


def seed_step(seed: int, step: int) -> None:
    """Seed the generators of this rank for a step; -1 is for initialisation.

    Ranks that hold parts of one layer agree outside of them, as Megatron needs it; data-parallel
    ranks and pipeline stages all differ.
    """
    import torch
    from megatron.core import parallel_state
    from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed

    data = parallel_state.get_data_parallel_rank()
    stage = parallel_state.get_pipeline_model_parallel_rank()
    key = base_key("scriptorium.train", str(seed), str(step), str(data), str(stage))
    number = key & ((1 << _BITS) - 1)
    torch.manual_seed(number)
    model_parallel_cuda_manual_seed(number)
