"""How near a generator is to the amount asked of it, and how far ahead its work may go.

An amount is counted over the slices in their order, as they have passed the gates. Slices that
commit out of order wait for those before them.
"""

import math
from collections.abc import Iterable

from pipelines.step import Step
from pipelines.work.take import Take


class Quota:
    """The amount asked of one generator."""

    def __init__(self, step: Step, slices: int, window: int) -> None:
        """`step` takes; `window`: slices begun ahead while no yield is known."""
        assert isinstance(step.work, Take)
        self.step = step
        self.take: Take = step.work
        self.screened = step.inputs[0].address
        self._slices = slices
        self._window = window
        self._ahead: dict[int, int] = {}
        """By slice: what those gave that an unfinished slice comes before."""
        self._starts: list[int] = []
        """What had been counted before each slice that is counted."""
        self.have = 0
        """Counted over the slices from the first without a gap."""

    @property
    def reached(self) -> bool:
        """Whether the amount has passed the gates."""
        return self.have >= self.take.amount

    @property
    def counted(self) -> int:
        """How many slices are counted; the take of each of them can be made."""
        return len(self._starts)

    @property
    def exhausted(self) -> bool:
        """Whether all slices are counted and the amount is not reached."""
        return self.counted == self._slices and not self.reached

    def before(self, slice_index: int) -> int:
        """What the slices before this one gave; it is one of those counted."""
        return self._starts[slice_index]

    def screened_slice(self, slice_index: int, amount: int) -> Iterable[int]:
        """A slice has passed the gates with this amount; the slices that count because of it."""
        first = self.counted
        if slice_index >= first:
            self._ahead[slice_index] = amount
        while not self.reached and self.counted in self._ahead:
            amount = self._ahead.pop(self.counted)
            self._starts.append(self.have)
            self.have += amount
        return range(first, self.counted)

    @property
    def horizon(self) -> int:
        """The first slice that need not be begun, by what slices gave in the mean so far."""
        if self.reached:
            return self.counted
        known = self.counted + len(self._ahead)
        mean = (self.have + sum(self._ahead.values())) / known if known else 0.0
        if not mean:
            return min(self._slices, self.counted + self._window)
        expected, end = float(self.have), self.counted
        beyond = max(self._ahead, default=-1) + 1
        while expected < self.take.amount and end < beyond:
            expected += self._ahead.get(end, mean)
            end += 1
        missing = max(0.0, self.take.amount - expected)
        return min(self._slices, end + math.ceil(missing / mean))
