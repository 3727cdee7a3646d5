"""Taking: of the records that passed the gates the first so many, in the order of slices and rows.

What a slice gives follows from the commits of the screened step up to that slice and from nothing
else, so a request gives the same records whatever ran at once, died or was resumed. Records beyond
the request stay in the screened step, for whoever asks for more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from manifests.commits import Commit
from manifests.records import Reject
from manifests.store import Store
from manifests.tables import ITEM_ID
from pipelines.work.outcome import Outcome, read_input
from pipelines.work.spent import ACCEPTED, by_outcome, costs

SURPLUS = "surplus"
"""The reason of a record that the request did not need: nothing is wrong with it."""


class Unit(StrEnum):
    """What a request counts."""

    RECORDS = "records"
    TOKENS = "tokens"
    """By the step's tokenizer; the last record may overshoot by less than itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Takes records until there are `amount` of `unit`."""

    amount: int
    unit: Unit
    tokenizer: str
    """Name of the tokenizer that the records' tokens were counted with."""

    def counted(self, commit: Commit) -> int:
        """What a shard of records counts for."""
        return commit.ledger.rows if self.unit is Unit.RECORDS else commit.stats.tokens

    def run(self, store: Store, inputs: Sequence[str], slice_index: int, before: int) -> Outcome:
        """The first records of this slice that are wanted; `before`: what earlier slices gave."""
        (source,) = inputs
        table, shard = read_input(store, source, slice_index)
        ones = np.ones(table.num_rows, dtype=np.int64)
        each = ones if self.unit is Unit.RECORDS else np.asarray(table["tokens"], dtype=np.int64)
        reached = before + np.cumsum(each) - each
        count = int(np.count_nonzero(reached < self.amount))
        spent = costs(table)
        place = table.schema.get_field_index(ITEM_ID)
        table = table.set_column(place, table.schema.field(ITEM_ID), table["id"])
        return Outcome(
            row_type="record",
            table=table.slice(0, count),
            rejects=[_surplus(key) for key in table["id"][count:].to_pylist()],
            inputs=(shard,),
            tokenizer=self.tokenizer,
            spent=by_outcome(
                [(ACCEPTED, int(spent[:count].sum())), (SURPLUS, int(spent[count:].sum()))]
            ),
        )


def _surplus(record: str) -> Reject:
    return Reject(
        item_id=record, reason=SURPLUS, detail="beyond the amount asked for", by="take@1", text=""
    )
