"""Shard rows that agree with themselves: each number counted a second time, column by column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.levels.findings import Kind, listed
from manifests.levels.reading import Ints
from manifests.objects.ranges import SHARD_ROWS
from manifests.sketches import BINS, EDGES
from manifests.spec.types import Layout

Mask = npt.NDArray[np.bool_]
Wrong = tuple[Kind, str]

COMPOSITIONS = ("buckets", "generators", "sources", "licences", "languages", "teachers")
CUT_BITS = 14
"""A range ends after a key whose last so many bits are zero."""

_SET_BITS = np.array([number.bit_count() for number in range(256)], dtype=np.int64)
_STEP = r"^steps/[^/]+@[0-9]+/[0-9a-f]{32}$"
_TEXTS = {"key": "^[0-9a-f]{32}$", "sha256": "^[0-9a-f]{64}$", "step": _STEP}


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists of structs, flat."""

    starts: Ints
    """Where each list begins, and the end of the last."""
    flat: pa.StructArray

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Lists":
        """The lists of a column."""
        array = pa.concat_arrays([*column.chunks, pa.array([], column.type)])
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        return cls(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), array.flatten())

    def numbers(self, name: str) -> Ints:
        """A field, of all entries."""
        return np.asarray(self.flat.field(name), dtype=np.int64)

    def sums(self, values: Ints) -> Ints:
        """Of each list, the sum over its entries."""
        ends = np.concatenate([[0], np.cumsum(values)])
        sums: Ints = ends[self.starts[1:]] - ends[self.starts[:-1]]
        return sums

    def falling(self, name: str) -> Mask:
        """Lists in which a field does not rise from entry to entry."""
        values = self.flat.field(name)
        if len(values) < 2:
            return np.zeros(len(self.starts) - 1, dtype=np.bool_)
        rises = pc.less(values[:-1], values[1:]).to_numpy(zero_copy_only=False)
        between = np.zeros(len(values), dtype=np.bool_)
        between[self.starts[1:-1][self.starts[1:-1] < len(values)]] = True
        bad = np.concatenate([[False], ~rises]) & ~between
        return self.sums(bad.astype(np.int64)) > 0


def wrong_rows(table: pa.Table) -> Iterator[Wrong]:
    """What is wrong with these shard rows, which have the right schema."""
    if nulls := [name for name in table.column_names if _has_nulls(table[name])]:
        yield Kind.FORM, f"has nulls in {', '.join(nulls)}"
        return
    keys = table["key"].to_pylist()
    for name, pattern in _TEXTS.items():
        fits = pc.match_substring_regex(table[name], pattern)
        yield from _at(keys, ~_mask(fits), Kind.FORM, f"{name} is not written as one")
    columns = {
        name: np.asarray(table[name].to_numpy(), dtype=np.int64)
        for name in ("slice_index", "bytes", "rows", "documents", "tokens")
    }
    documents, tokens = columns["documents"], columns["tokens"]
    impossible = (columns["slice_index"] < 0) | (columns["bytes"] < 1) | (documents < 1)
    impossible |= (documents > columns["rows"]) | (tokens < documents)
    yield from _at(
        keys, impossible, Kind.COUNT, "slice, bytes, rows, documents or tokens cannot be"
    )
    yield from _at(
        keys,
        _wrong_picks(table["picked"], columns["rows"], documents),
        Kind.COUNT,
        "the picked rows are not as many as the documents, or beyond the file",
    )
    yield from _wrong_lengths(keys, Lists.of(table["lengths"]), documents, tokens)
    for name in COMPOSITIONS:
        yield from _wrong_composition(keys, name, Lists.of(table[name]), documents, tokens)


def wrong_keys(keys: Sequence[str], last: bool) -> Iterator[Wrong]:
    """What is wrong with the keys of a range; `last` is that of its table."""
    array = np.array(keys, dtype="S32")
    if not bool((array[1:] > array[:-1]).all()):
        yield Kind.FORM, "its keys are not sorted and distinct"
    ends = [number for number, key in enumerate(keys) if is_cut(key)]
    if [number for number in ends if number < len(keys) - 1]:
        yield Kind.FORM, "a range has to end where one of its keys says so, and it goes on"
    if not last and len(keys) - 1 not in ends:
        yield Kind.FORM, "the range ends where none of its keys says so"


def is_cut(key: str) -> bool:
    """Whether a range ends after this key."""
    try:
        return int(key[-4:], 16) % (1 << CUT_BITS) == 0
    except ValueError:
        return False


def window_bounds(table: pa.Table, layout: Layout, sequence_length: int) -> tuple[Ints, Ints]:
    """The fewest and the most samples of each shard whose documents are no stream."""
    lists = Lists.of(table["lengths"])
    bins, counts = lists.numbers("bin"), lists.numbers("count")
    low, high = _bin_ends()
    fewest, most = (np.maximum(1, -(-ends // sequence_length)) for ends in (low, high))
    # Documents without a token are in no bin and take a window.
    documents = np.asarray(table["documents"].to_numpy(), dtype=np.int64)
    empty = documents - lists.sums(counts)
    least, largest = lists.sums(counts * fewest[bins]) + empty, lists.sums(counts * most[bins])
    if layout is not Layout.PACKED:
        return least, largest + empty
    places = np.asarray(table["tokens"].to_numpy(), dtype=np.int64) - documents + empty
    # Two windows that could be one are one, so any two together are fuller than one window.
    loose = np.maximum(np.minimum(1, places), -(-2 * places // sequence_length) - 1)
    return -(-places // sequence_length), np.minimum(largest + empty, loose)


def split_bounds(table: pa.Table, sequence_length: int) -> tuple[int, int]:
    """The fewest and the most documents that can be longer than a window."""
    lists = Lists.of(table["lengths"])
    bins, counts = lists.numbers("bin"), lists.numbers("count")
    low, high = _bin_ends()
    fewest, most = ((ends > sequence_length)[bins] for ends in (low, high))
    return int(counts[fewest].sum()), int(counts[most].sum())


def schema_fits(table: pa.Table) -> bool:
    """Whether these are the columns of shard rows."""
    return bool(table.schema.remove_metadata().equals(SHARD_ROWS))


def _wrong_lengths(keys: list[str], lists: Lists, documents: Ints, tokens: Ints) -> Iterator[Wrong]:
    bins, counts = lists.numbers("bin"), lists.numbers("count")
    outside = (bins < 0) | (bins >= BINS) | (counts < 1)
    bad = lists.falling("bin") | (lists.sums(outside.astype(np.int64)) > 0)
    yield from _at(keys, bad, Kind.FORM, "its lengths are not a histogram")
    if bad.any():
        return
    low, high = _bin_ends()
    text = tokens - documents
    beyond = lists.sums(counts) > documents
    beyond |= (lists.sums(counts * low[bins]) > text) | (lists.sums(counts * high[bins]) < text)
    yield from _at(keys, beyond, Kind.COUNT, "its lengths cannot come to its documents and tokens")


def _bin_ends() -> tuple[Ints, Ints]:
    """The shortest and the longest text of each bin; of the last one, longer than any."""
    return EDGES, np.concatenate([EDGES[1:] - 1, [1 << 40]])


def _wrong_composition(
    keys: list[str], name: str, lists: Lists, documents: Ints, tokens: Ints
) -> Iterator[Wrong]:
    rows, text = lists.numbers("rows"), lists.numbers("tokens")
    bad = lists.falling("name") | (lists.sums(((rows < 1) | (text < 0)).astype(np.int64)) > 0)
    yield from _at(keys, bad, Kind.FORM, f"its {name} are not sorted, distinct and above nothing")
    bad = (lists.sums(rows) != documents) | (lists.sums(text) != tokens - documents)
    yield from _at(keys, bad, Kind.COUNT, f"its {name} do not sum to its documents and tokens")


def _wrong_picks(picked: pa.ChunkedArray, rows: Ints, documents: Ints) -> Mask:
    array = pa.concat_arrays([*picked.chunks, pa.array([], picked.type)])
    lengths = np.asarray(pc.binary_length(array), dtype=np.int64)
    joined = np.frombuffer(b"".join(array.to_pylist()), dtype=np.uint8)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    bits = np.concatenate([[0], np.cumsum(_SET_BITS[joined])])
    set_bits = bits[ends[1:]] - bits[ends[:-1]]
    some = lengths > 0
    bad: Mask = np.where(some, (lengths != (rows + 7) // 8) | (set_bits != documents), False)
    bad |= ~some & (documents != rows)
    last = joined[np.maximum(ends[1:] - 1, 0)] if len(joined) else np.zeros(len(rows), np.uint8)
    beyond = (last.astype(np.int64) >> (rows % 8)) != 0
    bad |= some & (rows % 8 != 0) & beyond
    return bad


def _has_nulls(column: pa.ChunkedArray) -> bool:
    if column.null_count:
        return True
    if pa.types.is_list(column.type):
        flat = Lists.of(column).flat
        return bool(flat.null_count or any(part.null_count for part in flat.flatten()))
    return False


def _mask(values: pa.ChunkedArray) -> Mask:
    return np.asarray(values.to_numpy(), dtype=np.bool_)


def _at(keys: list[str], bad: Mask, kind: Kind, what: str) -> Iterator[Wrong]:
    if bad.any():
        yield kind, f"{what}: shard rows {listed([keys[i] for i in np.flatnonzero(bad).tolist()])}"
