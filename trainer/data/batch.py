"""What a phase is trained on, some samples at a time. B samples, windows of L tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples as NumPy arrays, which may be written to. Their memory is used for another batch when
    none of them is held any more.
    """

    tokens: Ints
    """[B, L]: inputs; behind the last document of a window the end-of-document id."""
    labels: Ints
    """[B, L]: the token that follows, at each place."""
    loss_mask: npt.NDArray[np.float32]
    """[B, L]: 1 where the label is learned, 0 elsewhere."""
    position_ids: Ints
    """[B, L]: places in the segment, from 0."""
    cu_seqlens: npt.NDArray[np.int32]
    """[B, K + 1]: where segments that are attended alone begin; filled up with L."""
    max_seqlen: npt.NDArray[np.int32]
    """[B]: the longest segment, the one of padding too."""
    positions: Ints
    """[B]: of the samples, in the phase."""
    chosen: Ints
    """[B, 2], of pairs: start and stop of the chosen response in the window; else zeros."""
    rejected: Ints
    """[B, 2], of pairs: of the rejected one."""


def torch_batch(batch: Batch) -> Mapping[str, "Tensor"]:
    """Tensors by field, in the memory of the batch's arrays."""
    import torch

    return {f.name: torch.from_numpy(getattr(batch, f.name)) for f in fields(batch)}
