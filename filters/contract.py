"""Filters measure, gates decide.

A filter gives every row of a batch one score and has a stable name; a gate of the recipe says which
scores are kept. Scores are stored with the rows, so a new threshold needs no new pass over text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.records import Reason

_BATCH_BYTES = 1 << 19
"""Text of one batch: large enough for NumPy, small enough that its arrays stay near the cache."""


class Filter(Protocol):
    """A measure over rows: pure, picklable, a frozen dataclass whose fields are its identity."""

    @property
    def name(self) -> str:
        """`name@version`."""

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One finite float64 score a row; reads the columns of a Seed or Record by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Keeps rows with low <= score <= high; None is no bound. A NaN or null score is not kept."""

    filter: Filter
    low: float | None = None
    high: float | None = None
    reason: Reason

    def passes(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which scores are kept."""
        kept = ~np.isnan(scores)
        if self.low is not None:
            kept &= scores >= self.low
        if self.high is not None:
            kept &= scores <= self.high
        return kept

    def detail(self, score: float) -> str:
        """Why this score was not kept, in one line."""
        if self.low is not None and not score >= self.low:
            return f"{score:.6g}, expected at least {self.low:g}"
        return (
            f"{score:.6g}, expected at most {self.high:g}" if self.high is not None else "no score"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What filters measured on a table, and what gates made of it."""

    scores: dict[str, pa.Array]
    """By filter name: float64, one a row, rows that were dropped included."""
    keep: pa.Array
    """Boolean, one a row."""
    dropped: pa.Table
    """One line a dropped row, in order: `row`, `reason`, `by` and `detail` of its first gate."""


DROPPED = pa.schema(
    [("row", pa.int64()), ("reason", pa.string()), ("by", pa.string()), ("detail", pa.string())]
)


def apply(filters: Sequence[Filter], gates: Sequence[Gate], table: pa.Table) -> Screened:
    """Measure every row with the filters and with the gates' filters, then decide.

    Every row is measured by every filter, so that a changed gate needs no new pass.
    """
    by_name = {f.name: f for f in (*filters, *(gate.filter for gate in gates))}
    scores = _measure(by_name, table)
    first = np.full(table.num_rows, -1)
    arrays = [np.asarray(scores[gate.filter.name], dtype=np.float64) for gate in gates]
    for index, (gate, values) in enumerate(zip(gates, arrays, strict=True)):
        first[(first < 0) & ~gate.passes(values)] = index
    rows = np.flatnonzero(first >= 0)
    failed = [
        (gates[index], arrays[index][row]) for row, index in zip(rows, first[rows], strict=True)
    ]
    columns = [
        rows,
        [gate.reason.value for gate, _ in failed],
        [gate.filter.name for gate, _ in failed],
        [gate.detail(score) for gate, score in failed],
    ]
    dropped = pa.Table.from_arrays(
        [pa.array(column, type=f.type) for column, f in zip(columns, DROPPED, strict=True)],
        schema=DROPPED,
    )
    return Screened(scores=scores, keep=pa.array(first < 0), dropped=dropped)


def _measure(filters: dict[str, Filter], table: pa.Table) -> dict[str, pa.Array]:
    """Batch by batch, so that all filters share one reading of a batch's text."""
    pieces: dict[str, list[pa.Array]] = {name: [] for name in filters}
    rows = max(1, table.num_rows * _BATCH_BYTES // max(1, table.nbytes))
    for batch in table.to_batches(max_chunksize=rows):
        for name, measure in filters.items():
            pieces[name].append(measure(batch))
    empty = pa.array([], pa.float64())
    return {name: pa.concat_arrays([empty, *arrays]) for name, arrays in pieces.items()}
