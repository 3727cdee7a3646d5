"""What a resolution is told from outside: what the leaves hold, and what is gone from an epoch."""

from collections.abc import Sequence
from typing import Protocol

from manifests.resolve.types import Body, Head, LeafSupply
from manifests.spec.types import Layout


class Supplies(Protocol):
    """The leaves of one selection."""

    def leaves(self, source: str) -> Sequence[str]:
        """Names of a source's leaves, sorted; none when it was removed."""

    def of(self, leaf: str, layout: Layout, sequence_length: int) -> LeafSupply:
        """What a leaf gives under a layout, in windows of this length.

        Raises:
            ConfigError: Not even one sample.
        """


class Holes(Protocol):
    """What a selection left out of epochs that were begun under an earlier one."""

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int
    ) -> tuple[str, int]:
        """Digest and number of the ranks from `start` on that may not be trained on any more."""

    def rank(self, head: Head, number: int) -> int:
        """The rank in its epoch of a head's sample of this number."""
