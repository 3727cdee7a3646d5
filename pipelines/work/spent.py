"""What became of the tokens that a teacher wrote: charged to the outcome of the item they were for.

A record carries what it cost as a score, an equal part of what its item took, so that a step behind
can say what was spent on the records that it drops.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.completions import Completion
from manifests.records import Call, Record, Seed

ACCEPTED = "accepted"
"""The outcome of an item that gave rows."""
COST = "teacher_tokens"
"""The score of a record."""


class Charges:
    """Charges every call once, to the first item that asked for it."""

    def __init__(self, answers: Mapping[str, Completion]) -> None:
        """`answers`: of the task, by prompt key."""
        self._left = {key: answer.usage.completion_tokens for key, answer in answers.items()}

    def of(self, lineage: Iterable[Call]) -> int:
        """Tokens of the calls of an item that are not charged yet."""
        return sum(self._left.pop(call.prompt, 0) for call in lineage)


def with_cost(rows: Sequence[Seed | Record], tokens: int) -> list[Seed | Record]:
    """The rows of an item, records with their parts of its tokens; the first has what is over."""
    share, rest = divmod(tokens, len(rows))
    costs = [share + rest, *[share] * (len(rows) - 1)]
    return [
        replace(row, scores={**row.scores, COST: float(cost)}) if isinstance(row, Record) else row
        for row, cost in zip(rows, costs, strict=True)
    ]


def costs(table: pa.Table) -> npt.NDArray[np.int64]:
    """What each record of a shard cost; 0 for one that no teacher had a part in."""
    own = table["scores"].combine_chunks()
    names, values = own.flatten().flatten()
    rows = np.repeat(np.arange(table.num_rows), own.value_lengths())
    chosen = np.asarray(pc.equal(names, COST))
    spent = np.zeros(table.num_rows, dtype=np.int64)
    spent[rows[chosen]] = np.asarray(values)[chosen].astype(np.int64)
    return spent


def by_outcome(outcomes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Tokens by outcome, in the order of names; only those that took any."""
    sums: Counter[str] = Counter()
    for outcome, tokens in outcomes:
        sums[outcome] += tokens
    return {name: sums[name] for name in sorted(sums) if sums[name]}
