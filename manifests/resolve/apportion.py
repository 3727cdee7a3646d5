"""Whole samples out of exact shares: one common denominator, then the largest remainder.

Fractions of many sources have many denominators; sums of them as `Fraction` grow and are reduced
at every step. Brought over one denominator once, everything after is plain whole numbers.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm


def over_one(values: Sequence[Fraction]) -> tuple[list[int], int]:
    """Numerators over one common denominator, and that."""
    common = lcm(*(value.denominator for value in values))
    return [value.numerator * (common // value.denominator) for value in values], common


def apportion(shares: Mapping[str, int], whole: int, total: int) -> dict[str, int]:
    """Split `total` so that each gets shares[name] / whole, rounded down or up.

    The shares sum to total * whole. What rounding down leaves over goes, one each, to the largest
    remainders; of equal ones to the name that sorts first.
    """
    if sum(shares.values()) != total * whole:
        raise ValueError(f"shares of {sum(shares.values())} are not {total} times {whole}")
    given = {name: share // whole for name, share in shares.items()}
    left = total - sum(given.values())
    by_remainder = sorted(shares, key=lambda name: (-(shares[name] % whole), name))
    for name in by_remainder[:left]:
        given[name] += 1
    return given
