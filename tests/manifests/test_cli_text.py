from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.cli import text
from manifests.cli.text import bar, decimal, percent, plural, short, table


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1K"),
        (1234, "1.23K"),
        (12_345, "12.3K"),
        (123_456, "123K"),
        (999_499, "999K"),
        (999_999, "1M"),
        (1_300_000_000_000, "1.3T"),
        (290_000_000_000, "290B"),
        (10**15, "1000T"),
        (-1500, "-1.5K"),
    ],
)
def test_a_number_has_three_digits_that_matter(number: int, shown: str) -> None:
    assert short(number) == shown


@given(st.integers(1, 10**18))
def test_a_short_number_is_off_by_half_a_percent_at_most(number: int) -> None:
    shown = short(number)
    unit = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}.get(shown[-1], 1)
    value = Fraction(shown.rstrip("KMBT")) * unit
    assert abs(value - number) * 200 <= number


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (Fraction(0), "0.0%"),
        (Fraction(1), "100.0%"),
        (Fraction(1, 3), "33.3%"),
        (Fraction(1, 10**9), "<0.1%"),
        (1 - Fraction(1, 10**9), ">99.9%"),
        (Fraction(1, 800), "0.1%"),
    ],
)
def test_a_little_is_not_nothing_and_almost_all_is_not_all(share: Fraction, shown: str) -> None:
    assert percent(share) == shown


def test_halves_are_rounded_away_from_zero_however_large() -> None:
    assert decimal(Fraction(1, 8), 2) == "0.13"
    assert decimal(Fraction(-1, 8), 2) == "-0.13"
    assert decimal(Fraction(10**30 * 2 + 1, 2), 0) == str(10**30 + 1)


def test_a_table_aligns_and_leaves_empty_columns_out() -> None:
    lines = table(("name", "n", "never"), [("a", "1", ""), ("long", "10", "")])
    assert lines == ["name   n", "a      1", "long  10"]


def test_a_bar_is_as_long_as_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_draws_blocks", lambda: True)
    assert [bar(Fraction(n, 16), 2) for n in (0, 1, 8, 16, 99)] == ["", "▏", "█", "██", "██"]
    monkeypatch.setattr(text, "_draws_blocks", lambda: False)
    assert [bar(Fraction(n, 4), 2) for n in (0, 1, 2, 4)] == ["", "#", "#", "##"]


def test_one_is_not_many() -> None:
    assert (plural(1, "step"), plural(1200, "step")) == ("1 step", "1,200 steps")
