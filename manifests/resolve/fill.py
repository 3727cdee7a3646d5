"""Samples for each leaf of a segment of a given length, as far as caps let it: water-filling.

All arithmetic is exact. A share that would lift a leaf above its cap is cut there, and what it
leaves is shared by the others in the ratio of their weights; that only ever lifts the others, so
it ends after as many rounds as there are leaves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from manifests.resolve.apportion import apportion, over_one
from manifests.resolve.demand import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """An exact split of `total` samples: shares[leaf] / whole."""

    shares: dict[str, int]
    whole: int
    over: dict[str, int]
    """Leaves that the demands would lift above their caps, in the order of `shares`, and the
    samples that they would have had, rounded up."""

    def quotas(self, total: int) -> dict[str, int]:
        """Whole samples."""
        return apportion(self.shares, self.whole, total)


class Basin:
    """The demands of a segment over common denominators, ready to be filled at any length."""

    def __init__(self, demands: Sequence[Demand], caps: Mapping[str, int]) -> None:
        self._leaves = [demand.leaf for demand in demands]
        self._caps = caps
        amounts = [demand.amount for demand in demands]
        weights = [demand.weight for demand in demands]
        if not any(weights):  # nothing but amounts: what rounding adds is spread like them
            amounts, weights = [Fraction()] * len(demands), amounts
        self._amounts, self._of_amounts = over_one(amounts)
        self._weights, _ = over_one(weights)

    @property
    def amount(self) -> Fraction:
        """Samples that are asked for outright, beside weights."""
        return Fraction(sum(self._amounts), self._of_amounts)

    def fill(self, total: int) -> Fill | None:
        """Split `total` samples; None when all caps together are below it, or amounts above."""
        capped: dict[int, int] = {}
        over: dict[str, int] = {}
        while True:
            shares, whole = self._split(total, capped)
            if shares is None:
                return None
            new = {
                i: self._caps[leaf]
                for i, leaf in enumerate(self._leaves)
                if i not in capped and leaf in self._caps and shares[i] > self._caps[leaf] * whole
            }
            if not new:
                named = dict(zip(self._leaves, shares, strict=True))
                return Fill(shares=named, whole=whole, over=over)
            over |= {self._leaves[i]: -(-shares[i] // whole) for i in new}
            capped |= new

    def _split(self, total: int, capped: Mapping[int, int]) -> tuple[list[int] | None, int]:
        """Numerators for each leaf, and their denominator: amounts, and the rest by weights."""
        free = [i for i in range(len(self._leaves)) if i not in capped]
        weight = sum(self._weights[i] for i in free)
        given = sum(self._amounts[i] for i in free)
        rest = (total - sum(capped.values())) * self._of_amounts - given
        if rest < 0 or (rest > 0 and not weight):
            return None, 1
        weight = weight or 1
        whole = self._of_amounts * weight
        shares = [
            capped[i] * whole
            if i in capped
            else self._amounts[i] * weight + rest * self._weights[i]
            for i in range(len(self._leaves))
        ]
        return shares, whole
