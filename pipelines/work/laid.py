"""Drafts as ids end to end: every text of a slice is encoded in one go, and places become offsets.

All arithmetic is on arrays over pieces and documents; nothing is done for each id in Python.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt

from manifests.encoders import Encoder, Ids
from manifests.records import Rejection
from pipelines.work.forms import Draft

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """The ids of drafts, in order, each document followed by its end."""

    drafts: Sequence[Draft | Rejection]
    ids: Ids
    bounds: Ints
    """Where in `ids` each piece begins, and where the last one ends; [pieces + 1]."""
    first: Ints
    """Of each draft the first piece, and the number of all; [drafts + 1]."""
    wrong: dict[int, str] = field(default_factory=dict)
    """By draft: what is wrong with its ids."""

    @property
    def lengths(self) -> Ints:
        """Ids of each draft, its end of document included; 0 of a rejection; [drafts]."""
        found: Ints = np.diff(self.bounds[self.first])
        return found

    def offsets(self, draft: int, places: Sequence[int]) -> list[int]:
        """Where in its document these pieces of a draft begin."""
        if not places:
            return []
        pieces = self.bounds[self.first[draft] + np.asarray(places, dtype=np.int64)]
        found: list[int] = (pieces - self.bounds[self.first[draft]]).tolist()
        return found


def lay(
    drafts: Sequence[Draft | Rejection],
    encoder: Encoder,
    end_of_document: int,
    controls: frozenset[int],
) -> Laid:
    """Encode and join the drafts; `controls`: ids that no text may give."""
    ends = ((end_of_document,),)
    pieces = [() if isinstance(one, Rejection) else one.pieces + ends for one in drafts]
    flat = list(chain.from_iterable(pieces))
    texts = iter(encoder.encode([piece for piece in flat if isinstance(piece, str)]))
    arrays = [
        next(texts) if isinstance(piece, str) else np.array(piece, dtype=np.int32) for piece in flat
    ]
    laid = Laid(
        drafts=drafts,
        ids=np.concatenate([np.zeros(0, dtype=np.int32), *arrays]),
        bounds=_ends(len(array) for array in arrays),
        first=_ends(len(some) for some in pieces),
    )
    is_text = np.fromiter((isinstance(piece, str) for piece in flat), np.bool_, len(flat))
    laid.wrong.update(_not_single(laid))
    laid.wrong.update(_with_controls(laid, is_text, encoder, controls))
    return laid


def _ends(sizes: Iterable[int]) -> Ints:
    return np.cumsum([0, *sizes], dtype=np.int64)


def _with_controls(
    laid: Laid, is_text: npt.NDArray[np.bool_], encoder: Encoder, controls: frozenset[int]
) -> dict[int, str]:
    """Texts that a tokenizer turns into control ids, because it does not hold them for special."""
    banned = np.zeros(encoder.vocabulary, dtype=np.bool_)
    banned[list(controls)] = True
    hits = np.flatnonzero(banned[laid.ids])
    places = np.searchsorted(laid.bounds, hits, side="right") - 1
    hits, places = hits[is_text[places]], places[is_text[places]]
    rows = np.searchsorted(laid.first, places, side="right") - 1
    return {
        row: f"its text gives the id {number}, which closes a document or begins or ends a turn"
        for row, number in zip(rows.tolist(), laid.ids[hits].tolist(), strict=True)
    }


def _not_single(laid: Laid) -> dict[int, str]:
    """Pairs of tokens whose sides are not one id each, or the same one."""
    found = {}
    for row, draft in enumerate(laid.drafts):
        if isinstance(draft, Rejection) or not draft.single:
            continue
        sides = [laid.ids[slice(*_span(laid, row, place))].tolist() for place in draft.single]
        if many := next((ids for ids in sides if len(ids) != 1), None):
            found[row] = f"a side of a token pair has {len(many)} tokens, {many[:8]}: expected one"
        elif len({ids[0] for ids in sides}) != len(sides):
            found[row] = f"both sides of a token pair are the token {sides[0][0]}"
    return found


def _span(laid: Laid, row: int, place: int) -> tuple[int, int]:
    piece = laid.first[row] + place
    return int(laid.bounds[piece]), int(laid.bounds[piece + 1])
