"""Which logits a pair is about: one row of logits and one label for each id of its responses.

A response pair lies in its window as prompt, chosen, prompt, rejected: two segments that do not see
each other, and the logits of an id stand one place before it. A token pair lies there as prompt,
chosen id, rejected id: both are read off the logits of the prompt's last place.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.errors import DataError
from trainer.losses.batch import Batch

Ints = npt.NDArray[np.int64]

ALL = np.iinfo(np.int64).max
"""As a limit: all ids of a response count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRows:
    """Of a batch, R ids of responses."""

    place: Ints
    """[R]: of the logits, counted through the batch, so below B * L."""
    label: Ints
    """[R]: the id."""
    owner: Ints
    """[R]: 2 * sample, and 1 more where the id is of the rejected response."""
    token_pair: npt.NDArray[np.bool_]
    """[B]."""


def pair_rows(batch: Batch, limits: Ints) -> PairRows:
    """The first `limits[b]` ids of both responses of every sample b; end of document is none.

    Raises:
        DataError: A sample is no pair, or not whole in its window.
    """
    samples, length = batch.tokens.shape
    spans = np.stack([batch.chosen, batch.rejected], axis=1).astype(np.int64)
    token_pair = spans[:, 1, 0] == spans[:, 0, 1]
    _check(spans, token_pair, length, batch.positions)
    starts, stops = spans[..., 0].ravel(), spans[..., 1].ravel()
    counts = np.minimum(stops - starts, np.repeat(limits, 2))
    owner = np.repeat(np.arange(2 * samples), counts)
    before = np.cumsum(counts) - counts
    at = starts[owner] + np.arange(len(owner)) - before[owner]
    sample = owner // 2
    logits_at = np.where(token_pair[sample], spans[sample, 0, 0], at) - 1
    return PairRows(
        place=sample * length + logits_at,
        label=batch.tokens[sample, at],
        owner=owner,
        token_pair=token_pair,
    )


def _check(
    spans: npt.NDArray[np.int64], token_pair: npt.NDArray[np.bool_], length: int, positions: Ints
) -> None:
    sizes = spans[..., 1] - spans[..., 0]
    whole = (spans[:, 0, 0] > 0) & (spans[:, 1, 0] >= spans[:, 0, 1]) & (spans[:, 1, 1] <= length)
    sized = np.where(token_pair, (sizes == 1).all(axis=1), (sizes > 0).all(axis=1))
    if (wrong := np.flatnonzero(~(whole & sized))).size:
        first = int(wrong[0])
        raise DataError(
            f"position {positions[first]}: chosen {spans[first, 0].tolist()} and rejected"
            f" {spans[first, 1].tolist()} are no pair in a window of {length} tokens"
        )
