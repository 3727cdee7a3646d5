"""The check at start-up that attention keeps documents apart, on the very model that will train.

Attention that takes no notice of a mask raises nothing and trains well, only on the wrong thing. So
a window of two documents goes through the model, again with another first document, and the logits
of the second must be the same. The same under a causal mask shows that the check can fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.errors import ConfigError
from trainer.model.masks import attention, call

if TYPE_CHECKING:
    from torch import Tensor

_WINDOW = 64
_NOISE = 0.01
"""Of what moves without a mask: as much may come from the order in which a GPU adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """Largest change of a logit, over all ranks."""

    across: float
    """Of the second document, when the first was changed."""
    causal: float
    """The same with both as one document: what the mask has to hold back."""
    backwards: float
    """Of what comes before the last token, when that was changed."""


def check_no_leak(chunks: Sequence[Any], sequence_length: int, vocabulary: int) -> Leaks:
    """What moved; all ranks call it together.

    Args:
        chunks: Of the model on this rank, wrapped or not.
        sequence_length: Of the phase; a short window of it is enough.
        vocabulary: Ids.

    Raises:
        ConfigError: Attention does not keep documents apart.
    """
    window = min(_WINDOW, sequence_length)
    cut = window // 2
    tokens = _windows(window, cut, vocabulary)
    apart = np.tile(np.array([0, cut, window], np.int32), (len(tokens), 1))
    joined = np.tile(np.array([0, window, window], np.int32), (len(tokens), 1))
    kept, mixed = (_logits(chunks, tokens, starts) for starts in (apart, joined))
    found = Leaks(
        across=_moved(kept, 1, slice(cut, None)),
        causal=_moved(mixed, 1, slice(cut, None)),
        backwards=_moved(kept, 2, slice(None, -1)),
    )
    if not found.causal > 0:
        raise AssertionError("a changed token moves no logit even without a mask")
    if found.backwards > _NOISE * found.causal:
        raise ConfigError(
            f"attention looks ahead: another last token of a window moves logits before it by up"
            f" to {found.backwards:.2g}; these attention layers do not train a language model"
        )
    if found.across > _NOISE * found.causal:
        raise ConfigError(
            f"attention leaks across documents: another first document of a window moves the"
            f" logits of the second by up to {found.across:.2g} (without a mask by"
            f" {found.causal:.2g}); these attention layers take no notice of mask = document:"
            f' use others, or write mask = "causal" in the phase\'s facts'
        )
    return found


def _windows(window: int, cut: int, vocabulary: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """[3, L]: two documents; another first document; another last token."""
    tokens = np.tile(np.random.default_rng(0).integers(0, vocabulary, window), (3, 1))
    tokens[1, :cut] = (tokens[0, :cut] + 1) % vocabulary
    tokens[2, -1] = (tokens[0, -1] + 1) % vocabulary
    return tokens


def _logits(chunks: Sequence[Any], tokens: Any, cu_seqlens: Any) -> "Tensor | None":
    """float32 [3, L, vocabulary / tensor ranks] on the last stage, None on others."""
    import torch
    from megatron.core.pipeline_parallel.schedules import get_forward_backward_func

    from trainer.model.parallel import device

    here, length = device(), tokens.shape[1]
    tensors = {
        "tokens": torch.from_numpy(tokens).to(here),
        "position_ids": torch.arange(length, device=here).expand(len(tokens), -1),
        **attention(cu_seqlens, length, here),
    }

    def step(_: Any, model: Any) -> Any:
        return call(model, tensors), lambda output, non_loss_data: output.detach().float()

    modes = [chunk.training for chunk in chunks]
    for chunk in chunks:
        chunk.eval()
    found: list[Tensor] = get_forward_backward_func()(
        forward_step_func=step,
        data_iterator=iter(()),
        model=list(chunks),
        num_microbatches=1,
        seq_length=length,
        micro_batch_size=len(tokens),
        forward_only=True,
        collect_non_loss_data=True,
    )
    for chunk, mode in zip(chunks, modes, strict=True):
        chunk.train(mode)
    return found[0] if found else None


def _moved(logits: "Tensor | None", row: int, places: slice) -> float:
    """The largest difference of a row's logits from the first row's, over all ranks."""
    import torch

    from trainer.model.parallel import device

    most = torch.zeros((), device=device())
    if logits is not None:
        most = (logits[row, places] - logits[0, places]).abs().max()
    torch.distributed.all_reduce(most, op=torch.distributed.ReduceOp.MAX)
    return float(most)
