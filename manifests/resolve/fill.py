"""Samples for each leaf of a segment of a given length, as far as caps let it: water-filling.

All arithmetic is exact. A share that would lift a leaf above its cap is cut there, and what it
leaves is shared by the others in the ratio of their weights; that only ever lifts the others, so
it ends after as many rounds as there are leaves. Where a mix has nothing but amounts, these are
the weights: what rounding adds or takes is spread like them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from manifests.resolve.apportion import apportion, over_one
from manifests.resolve.demand import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """An exact split of `total` samples: shares[leaf] / whole."""

    total: int
    shares: dict[str, int]
    whole: int

    def quotas(self) -> dict[str, int]:
        """Whole samples."""
        return apportion(self.shares, self.whole, self.total)


class Basin:
    """The demands of a segment, ready to be filled at any length; `caps` are in samples."""

    def __init__(self, demands: Sequence[Demand], caps: Mapping[str, Fraction]) -> None:
        self._names = [demand.leaf.name for demand in demands]
        self._exact = caps
        self._caps = [floor(caps[name]) if name in caps else None for name in self._names]
        self._asked, self._unit = over_one([demand.amount for demand in demands])
        weights, _ = over_one([demand.weight for demand in demands])
        self._outright = not any(weights)
        self._amounts = [0] * len(self._names) if self._outright else self._asked
        self._weights = self._asked if self._outright else weights

    @property
    def amount(self) -> Fraction:
        """Samples that are asked for outright, beside weights."""
        return Fraction(sum(self._amounts), self._unit)

    @property
    def most(self) -> int | None:
        """The longest segment in which the demands lift no leaf above its cap; None: any."""
        weight, amount = sum(self._weights), sum(self._amounts)
        longest = self.reach
        columns = (self._names, self._amounts, self._weights, self._asked)
        for name, a, w, asked in zip(*columns, strict=True):
            cap = self._exact.get(name)
            if cap is None:
                continue
            fits = asked * cap.denominator <= cap.numerator * self._unit
            if fits and (self._outright or not w):
                continue
            room = (cap.numerator * self._unit - a * cap.denominator) * weight
            room += amount * w * cap.denominator
            limit = room // (w * self._unit * cap.denominator) if w else 0
            longest = limit if longest is None else min(longest, limit)
        return 0 if longest is not None and longest < self.amount else longest

    @property
    def reach(self) -> int | None:
        """The longest segment that can be filled at all; None: any."""
        total = Fraction()
        for cap, a, w in zip(self._caps, self._amounts, self._weights, strict=True):
            amount = Fraction(a, self._unit)
            if cap is None and w:
                return None
            if cap is None:
                total += amount
            else:
                total += cap if w else min(Fraction(cap), amount)
        return floor(total)

    def over(self, total: int) -> dict[str, Fraction]:
        """Leaves that the demands lift above their caps, and the samples that they ask for.

        What rounding adds to a mix of nothing but amounts is not asked for.
        """
        shares, whole = self._split(total, {})
        if not shares:
            shares, whole = self._amounts, self._unit
        found = {}
        for name, share, asked in zip(self._names, shares, self._asked, strict=True):
            cap = self._exact.get(name)
            if cap is None or share * cap.denominator <= cap.numerator * whole:
                continue
            if not self._outright:
                found[name] = Fraction(share, whole)
            elif asked * cap.denominator > cap.numerator * self._unit:
                found[name] = min(Fraction(share, whole), Fraction(asked, self._unit))
        return found

    def fill(self, total: int) -> Fill | None:
        """Split `total` samples; None when all caps together are below it, or amounts above."""
        capped = {
            i: cap
            for i, cap in enumerate(self._caps)
            if cap is not None and self._amounts[i] > cap * self._unit
        }
        while True:
            shares, whole = self._split(total, capped)
            if not shares:
                return None
            new = {
                i: cap
                for i, cap in enumerate(self._caps)
                if cap is not None and i not in capped and shares[i] > cap * whole
            }
            if not new:
                named = dict(zip(self._names, shares, strict=True))
                return Fill(total=total, shares=named, whole=whole)
            capped |= new

    def _split(self, total: int, capped: Mapping[int, int]) -> tuple[list[int], int]:
        """Numerators for each leaf, and their denominator: amounts, and the rest by weights.

        No numerators where amounts are above the total, or nothing takes the rest.
        """
        free = [i for i in range(len(self._names)) if i not in capped]
        weight = sum(self._weights[i] for i in free)
        given = sum(self._amounts[i] for i in free)
        rest = (total - sum(capped.values())) * self._unit - given
        if rest < 0 or (rest and not weight):
            return [], 1
        weight = weight or 1
        whole = self._unit * weight
        shares = [
            self._amounts[i] * weight + rest * self._weights[i] for i in range(len(self._names))
        ]
        for i, cap in capped.items():
            shares[i] = cap * whole
        return shares, whole
