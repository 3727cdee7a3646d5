"""A window as a row of a batch: its ids, where its documents end, what of it is learned."""

import numpy as np
import numpy.typing as npt

from manifests.spec.types import Layout
from manifests.token_files import Ids
from trainer.data.document_index import DocumentIndex
from trainer.data.rows import Rows, Rules
from trainer.data.shards import OpenShard, Shards, joined

Ints = npt.NDArray[np.int64]


def fill(rows: Rows, row: int, shards: Shards, number: int, offset: int, rules: Rules) -> None:
    """Fill a row with the sample whose first token is there; raises as `Shards.shard`."""
    shard = shards.shard(number)
    if shard.layout is Layout.STREAM:
        _stream(rows, row, shards, number, offset, rules)
    else:
        _window(rows, row, shard, offset, rules)


def _stream(rows: Rows, row: int, shards: Shards, number: int, place: int, rules: Rules) -> None:
    """A window of the stream: L + 1 ids from a place of a shard on, into the next shards."""
    missing, column = rules.length + 1, 0
    pieces: list[Ids] = []
    while missing:
        shard = shards.shard(number)
        count = min(missing, shard.index.places - place)
        if count:
            pieces.append(shard.ids(place, count))
            ends = shard.index.ends
            low, high = ends.searchsorted((place, place + count), "right").tolist()
            if low < high:
                rows.ends(row, ends[low:high] + (column - place))
            _learn(rows, row, column, shard.index, place, count, rules)
        missing, column = missing - count, column + count
        number, place = number + 1, 0
    rows.put(row, 0, joined(pieces))


def _window(rows: Rows, row: int, shard: OpenShard, window: int, rules: Rules) -> None:
    """A window of spans of documents; what they leave free is padding."""
    index, column = shard.index, 0
    low, high = index.window_spans[window : window + 2].tolist()
    for place, count in index.spans[low:high].tolist():
        if count > 1:
            _learn(rows, row, column, index, place, count, rules)
            _document(rows, row, column, index, place, count, rules)
            column = rows.put(row, column, shard.ids(place, count))
            rows.begins(row, column)
    rows.pad(row, column)
    if column < rules.length:
        rows.learn(row, np.zeros((0, 2), dtype=np.int64))


def _learn(
    rows: Rows, row: int, column: int, index: DocumentIndex, place: int, count: int, rules: Rules
) -> None:
    """Which labels of the ids [place, place + count), the first in this column, are learned."""
    first, stop = place + 1, place + count
    if rules.all_learned or not len(index.learned):
        if rules.length + 1 == count:
            return rows.learn_all(row)
        found = np.array([[first, stop]])
    else:
        low = int(index.learned[:, 1].searchsorted(first, "right"))
        high = int(index.learned[:, 0].searchsorted(stop, "left"))
        found = np.clip(index.learned[low:high], first, stop)
    # The id at a place is the label one column before its own.
    return rows.learn(row, found + (column - first))


def _document(
    rows: Rows, row: int, column: int, index: DocumentIndex, place: int, count: int, rules: Rules
) -> None:
    """What a span's document says of its labels: its end, and the halves of a pair."""
    document = int(index.ends.searchsorted(place, "right"))
    if not rules.learn_end and int(index.ends[document]) == place + count:
        rows.unlearn(row, column + count - 2)
    if len(index.pairs) and index.pairs[document].any():
        start = int(index.ends[document - 1]) if document else 0
        shift = column - (place - start)
        rows.pair(row, shift, index.pairs[document])
        second = int(index.pairs[document, 4]) + shift
        if max(column, shift) < second < column + count - 1:
            rows.begins(row, second)
            rows.unlearn(row, second - 1)
