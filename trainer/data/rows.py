"""The rows of a batch while they are filled: ids are copied by the run, masks follow at the end
from where documents end, for all rows at once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError
from manifests.resolve.types import Phase
from manifests.spec.types import Layout
from manifests.token_files import Ids
from trainer.data.batch import Batch
from trainer.data.memory import Memory

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the windows of a phase are read."""

    length: int
    end_of_document: int
    apart: bool
    """Whether documents are attended alone."""
    learn_end: bool
    """Whether it is learned that a document ends."""
    all_learned: bool
    """Whether all ids are learned, or those that their documents name."""

    @classmethod
    def of(cls, phase: Phase, end_of_document: int) -> "Rules":
        """Of a phase's facts `mask`, `loss` and `end_of_document`.

        Raises:
            ConfigError: `mask = "causal"`, and windows whose parts must not see each other.
        """
        facts = phase.train
        loss, apart = facts.get("loss", "language_model"), facts.get("mask") != "causal"
        if not apart and (loss in ("dpo", "pivotal") or _packed(phase)):
            why = f"loss = {loss!r}" if loss in ("dpo", "pivotal") else 'layout = "packed"'
            raise ConfigError(
                f"phase {phase.name}: {why} puts texts into one window that must not see each"
                ' other; leave mask = "causal" out'
            )
        return cls(
            length=phase.sequence_length,
            end_of_document=end_of_document,
            apart=apart,
            learn_end=facts.get("end_of_document") != "mask",
            all_learned=loss == "language_model",
        )


def _packed(phase: Phase) -> bool:
    bodies = [supply.body for segment in phase.segments for supply in segment.supplies]
    return any(body.layout not in (Layout.STREAM, Layout.DOCUMENT) for body in bodies)


class Rows:
    """B rows of L inputs and labels. Rows are filled in order, and each from its first column."""

    def __init__(self, rules: Rules, positions: Ints, memory: Memory) -> None:
        self._rules = rules
        self._memory = memory
        self._positions = positions
        arrays = memory.arrays(len(positions), rules.length)
        self._tokens, self._labels, self._position_ids, self._mask = arrays
        self._chosen = np.zeros((len(positions), 2), dtype=np.int64)
        self._rejected = np.zeros((len(positions), 2), dtype=np.int64)
        # Places in the batch, row behind row.
        self._starts = [np.arange(len(positions), dtype=np.int64) * rules.length]
        self._unlearned: list[Ints] = []
        self._learned: list[Ints] = []
        self._all_learned = True

    def put(self, row: int, column: int, ids: Ids) -> int:
        """All but the last id are inputs, all but the first labels; the column behind them."""
        stop = column + len(ids) - 1
        self._tokens[row, column:stop] = ids[:-1]
        self._labels[row, column:stop] = ids[1:]
        return stop

    def ends(self, row: int, columns: Ints) -> None:
        """Documents end before these columns, 1 to L + 1, rising: the last may be a label only."""
        length, base = self._rules.length, row * self._rules.length
        # What follows a document's end is another document: chance, and not learned.
        follows = columns[: columns.searchsorted(length, "right")] + base
        self._unlearned.append(follows - 1)
        if self._rules.apart:
            inside = follows[:-1] if len(follows) and follows[-1] == base + length else follows
            self._starts.append(inside)
        if not self._rules.learn_end:
            self._unlearned.append(columns[columns > 1] + (base - 2))

    def begins(self, row: int, column: int) -> None:
        """Another segment begins there, if that is in the window."""
        if self._rules.apart and column < self._rules.length:
            self._starts.append(np.array([row * self._rules.length + column]))

    def unlearn(self, row: int, column: int) -> None:
        """The label in this column is not learned."""
        self._unlearned.append(np.array([row * self._rules.length + column]))

    def learn(self, row: int, columns: Ints) -> None:
        """What is learned of a row, where it is not all of it: [., 2] columns of labels, rising."""
        self._all_learned = False
        self._learned.append(columns + row * self._rules.length)

    def learn_all(self, row: int) -> None:
        """The whole row is learned."""
        base = row * self._rules.length
        self._learned.append(np.array([[base, base + self._rules.length]]))

    def pad(self, row: int, column: int) -> None:
        """Nothing comes from this column on."""
        self._tokens[row, column:] = self._labels[row, column:] = self._rules.end_of_document

    def pair(self, row: int, shift: int, spans: Ints) -> None:
        """A pair: its responses, as the document has them, and its first id's column."""
        self._chosen[row] = spans[0:2] + shift
        self._rejected[row] = spans[2:4] + shift

    def batch(self) -> Batch:
        """The rows, with masks."""
        rules, count = self._rules, len(self._positions)
        total = count * rules.length
        starts = np.concatenate(self._starts)
        starts.sort()
        lengths = np.append(starts[1:], total) - starts
        # Every row begins a segment, so these are found.
        first = starts.searchsorted(self._starts[0])
        rows = starts // rules.length
        within = np.arange(len(starts)) - first[rows]
        width = int(within.max(initial=0)) + 2
        cu_seqlens = np.full((count, width), rules.length, dtype=np.int32)
        cu_seqlens[rows, within] = starts - rows * rules.length
        begins = np.repeat(starts, lengths)
        np.subtract(self._memory.counted(total), begins, out=self._position_ids.reshape(-1))
        self._fill_mask()
        longest = np.maximum.reduceat(lengths, first) if count else lengths[:0]
        return Batch(
            tokens=self._tokens,
            labels=self._labels,
            loss_mask=self._mask,
            position_ids=self._position_ids,
            cu_seqlens=cu_seqlens,
            max_seqlen=longest.astype(np.int32),
            positions=self._positions,
            chosen=self._chosen,
            rejected=self._rejected,
        )

    def _fill_mask(self) -> None:
        mask = self._mask.reshape(-1)
        if self._all_learned:
            mask.fill(1)
        else:
            edges = np.concatenate([found.ravel() for found in self._learned])
            turns = np.zeros(len(edges) + 1, dtype=np.float32)
            turns[1::2] = 1
            mask[:] = np.repeat(turns, np.diff(edges, prepend=0, append=len(mask)))
        for found in self._unlearned:
            mask[found] = 0
