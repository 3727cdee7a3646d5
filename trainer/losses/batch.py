"""What objectives read of a batch; `trainer.data` makes it. B samples, windows of L tokens."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Batch(Protocol):
    """Samples as NumPy arrays."""

    @property
    def tokens(self) -> Ints:
        """[B, L]."""

    @property
    def labels(self) -> Ints:
        """[B, L]: the token that follows, at each place."""

    @property
    def loss_mask(self) -> npt.NDArray[np.float32]:
        """[B, L]: 1 where the label is learned, 0 elsewhere."""

    @property
    def position_ids(self) -> Ints:
        """[B, L]."""

    @property
    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """[B, K + 1]: where segments that are attended alone begin; filled up with L."""

    @property
    def positions(self) -> Ints:
        """[B]: of the samples, in the phase."""

    @property
    def chosen(self) -> Ints:
        """[B, 2], of pairs: start and stop of the chosen response in the window."""

    @property
    def rejected(self) -> Ints:
        """[B, 2], of pairs: of the rejected one; of a token pair, begins where the chosen stops."""
