"""Parts of shards: which rows of a data file belong to a leaf, and what that leaves of its row.

Files are read whole and checked against their sha256 before a byte of them decides anything; only
a few of their columns are decoded.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.documents import Mask
from manifests.objects.ranges import SHARD_ROWS
from manifests.select.histograms import Ints
from manifests.sketches import Lengths
from manifests.stats import compositions

READERS = 8
"""Files that are read at once, each whole in memory."""

FACTS = (
    "tokens",
    "bucket",
    "generator",
    "source",
    "licence",
    "lang",
    "lineage.list.element.teacher",
)
"""Columns of a data file that say what a shard row says about its documents."""

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Told how many data files are read, and how many have to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some documents of a shard."""

    number: int
    """The shard's row in the table."""
    facts: dict[str, object]
    """What differs from that row, by column."""


def part(number: int, table: pa.Table, mask: Mask) -> Part:
    """The documents under `mask` of a data file, of which `table` has the columns `FACTS`."""
    picked = table.filter(pa.array(mask))
    tokens = picked["tokens"].to_numpy().astype(np.int64)
    facts: dict[str, object] = {
        "picked": np.packbits(mask, bitorder="little").tobytes(),
        "documents": len(tokens),
        "tokens": int(tokens.sum()) + len(tokens),
        "lengths": [{"bin": i, "count": count} for i, count in Lengths.of(tokens).bins],
    }
    for name, volumes in compositions(picked, tokens).items():
        facts[name] = [{"name": value, **asdict(volumes[value])} for value in sorted(volumes)]
    return Part(number=number, facts=facts)


def with_parts(rows: pa.Table, whole: Ints, parts: Sequence[Part]) -> pa.Table:
    """These rows of a table as they are, and those of `parts` changed; by key.

    Numbers rise, and the rows of each chunk of the table are sorted by key.
    """
    kept = _taken(rows, whole)
    if not parts:
        return by_key(kept)
    changed = _taken(rows, np.array([part.number for part in parts], dtype=np.int64))
    for i, field in enumerate(SHARD_ROWS):
        if field.name in parts[0].facts:
            values = pa.array([part.facts[field.name] for part in parts], field.type)
            changed = changed.set_column(i, field, values)
    return by_key(pa.concat_tables([kept, changed]))


def by_key(rows: pa.Table) -> pa.Table:
    """The rows of all chunks together in order; those of each chunk are."""
    if rows["key"].num_chunks <= 1:
        return rows
    order = pc.sort_indices(rows["key"])
    # Column by column: no more than one of them is in memory twice.
    columns = [pa.concat_arrays(column.chunks).take(order) for column in rows.columns]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _taken(rows: pa.Table, numbers: Ints) -> pa.Table:
    """These rows; a chunk that is wanted whole is not copied. Numbers rise."""
    kept, start = [], 0
    for batch in rows.to_batches():
        here = slice(*np.searchsorted(numbers, [start, start + batch.num_rows]))
        wanted = numbers[here] - start
        start += batch.num_rows
        if len(wanted) == batch.num_rows:
            kept.append(batch)
        elif len(wanted):
            kept.append(batch.take(pa.array(wanted)))
    return pa.Table.from_batches(kept, rows.schema)


def over_files(
    work: Callable[[int], T], numbers: Sequence[int], progress: Progress | None = None
) -> list[T]:
    """What `work` gives for each, in their order; the first that fails ends it."""
    done: list[T] = []
    with ThreadPoolExecutor(READERS, thread_name_prefix="select") as readers:
        # In small lots: a million waiting tasks take memory, and go on after a failure.
        for first in range(0, len(numbers), 8 * READERS):
            for result in readers.map(work, numbers[first : first + 8 * READERS]):
                done.append(result)
                if progress:
                    progress(len(done), len(numbers))
    return done
