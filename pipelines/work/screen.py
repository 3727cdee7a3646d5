"""Screening: a shard of records in, the records that every gate keeps out, with all scores.

What a gate drops goes to the rejects with its score. The language is measured, not believed: the
column `lang` becomes what the language filter found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Gate, Screened, apply
from filters.language import detect
from manifests.records import Record, Reject
from manifests.store import Store
from manifests.tables import ITEM_ID, schema_of
from pipelines.work.outcome import EXCERPT, Outcome, read_input
from pipelines.work.spent import ACCEPTED, by_outcome, costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Measures records and keeps those that pass every gate."""

    gates: tuple[Gate, ...]
    tokenizer: str
    """Name of the tokenizer that the records' tokens were counted with."""

    def run(self, store: Store, inputs: Sequence[str], slice_index: int) -> Outcome:
        """The records of this slice that are kept, and why the others are not."""
        (source,) = inputs
        table, shard = read_input(store, source, slice_index)
        screened = apply((), self.gates, table)
        kept = _with_scores(table, screened).filter(screened.keep)
        kept = _set(kept, ITEM_ID, kept["id"])
        return Outcome(
            row_type="record",
            table=_with_language(kept),
            rejects=_rejects(table, screened),
            inputs=(shard,),
            tokenizer=self.tokenizer,
            spent=_spent(table, screened),
        )


def _set(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(name), column)


def _with_scores(table: pa.Table, screened: Screened) -> pa.Table:
    """The table with the filters' scores beside the generator's own, in the order of names."""
    every = np.arange(table.num_rows)
    own = table["scores"].combine_chunks()
    names, values = own.flatten().flatten()
    lines = {"row": np.repeat(every, own.value_lengths()), "name": names, "value": values}
    known = pc.is_in(names, pa.array(screened.scores, pa.string()))
    pieces = [pa.table(lines).filter(pc.invert(known))]
    for name, scores in screened.scores.items():
        lines = {"row": every, "name": pa.repeat(name, len(every)), "value": scores}
        pieces.append(pa.table(lines))
    merged = pa.concat_tables(pieces).sort_by([("row", "ascending"), ("name", "ascending")])
    ends = np.cumsum(np.bincount(merged["row"], minlength=len(every)))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    flat = merged.select(["name", "value"]).to_struct_array().combine_chunks()
    kind = schema_of(Record).field("scores").type
    return _set(table, "scores", pa.ListArray.from_arrays(offsets, flat, type=kind))


def _with_language(table: pa.Table) -> pa.Table:
    if not table.num_rows:
        return table
    (batch,) = table.combine_chunks().to_batches()
    languages, _ = detect(batch)
    return _set(table, "lang", languages)


def _spent(table: pa.Table, screened: Screened) -> dict[str, int]:
    each = costs(table)
    kept = int(each[np.asarray(screened.keep)].sum())
    dropped = screened.dropped.select(["reason", "row"]).to_pylist()
    lost = [(line["reason"], int(each[line["row"]])) for line in dropped]
    return by_outcome([(ACCEPTED, kept), *lost])


def _rejects(table: pa.Table, screened: Screened) -> list[Reject]:
    texts, ids = table["text"], table["id"]
    return [
        Reject(
            item_id=ids[line["row"]].as_py(),
            reason=line["reason"],
            detail=line["detail"],
            by=line["by"],
            text=texts[line["row"]].as_py()[:EXCERPT],
        )
        for line in screened.dropped.to_pylist()
    ]
