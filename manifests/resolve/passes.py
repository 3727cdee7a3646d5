"""Samples of a leaf as passes over it, and how many a cap on passes still allows.

The rest of an epoch that goes on with holes is the rest of one pass all the same: its samples pass
over the holes with them, so that a pass is over when its epoch is.
"""

from dataclasses import dataclass
from fractions import Fraction

from manifests.resolve.types import Body, Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """A leaf from some point on: what is left of a head, if any, then epochs of the body."""

    body: Body
    head: Head | None

    @property
    def _head(self) -> tuple[int, Fraction]:
        """Samples of the head, and what one of them is of a pass."""
        head = self.head
        if head is None:
            return 0, Fraction()
        size = head.body.samples
        return head.count, Fraction(size - head.start, size * (head.taken + head.count))

    def epochs(self, samples: Fraction) -> Fraction:
        """Passes that the next samples come to."""
        count, each = self._head
        if samples <= count:
            return samples * each
        return count * each + (samples - count) / self.body.samples

    def samples(self, epochs: Fraction) -> Fraction:
        """Samples in the next passes."""
        count, each = self._head
        if epochs < count * each:
            return epochs / each
        return count + (epochs - count * each) * self.body.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A leaf's `max_epochs`."""

    most: Fraction
    seen: Fraction
    """Passes that were made, over all phases of the chain."""
    passes: Passes

    @property
    def samples(self) -> Fraction:
        """That the leaf may still give."""
        return self.passes.samples(max(Fraction(), self.most - self.seen))

    def needed(self, samples: Fraction) -> Fraction:
        """The `max_epochs` that so many more samples take."""
        return self.seen + self.passes.epochs(samples)
