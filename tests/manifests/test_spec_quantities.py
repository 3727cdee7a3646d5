"""Quantities: exact, or refused with what to write instead."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.spec.quantities import MOST, number, percent, ratio, share, shown, tokens, whole


@pytest.mark.parametrize(
    ("written", "means"),
    [
        (1, 1),
        (8_000_000, 8_000_000),
        (Decimal("1e9"), 10**9),
        ("10", 10),
        ("10T", 10**13),
        ("250B tokens", 250 * 10**9),
        ("1.5M", 1_500_000),
        ("6.2T tokens", 6_200_000_000_000),
        ("1 K", 1000),
        ("1_000 tokens", 1000),
        ("1 token", 1),
        ("0.000001M", 1),
        (MOST, MOST),
    ],
)
def test_a_number_of_tokens_is_exact(written: object, means: int) -> None:
    assert tokens(written) == means
    assert type(tokens(written)) is int


@pytest.mark.parametrize(
    "written",
    [
        *(0, -1, True, MOST + 1, [], {}, None, Decimal("1.5"), Decimal("nan"), Decimal("1e400")),
        *("", "T", "10 TB", "1.0000001M", "-5B", "1e9", "10t", "ten", "0B"),
        *("10T tokens extra", "10,000", " 10T", "10T\n", "9" * 5000, "9999999999T", "1/2"),
    ],
)
def test_what_is_no_number_of_tokens_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="whole number of tokens"):
        tokens(written)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("15%", Fraction(3, 20)),
        ("15 %", Fraction(3, 20)),
        (Decimal("0.15"), Fraction(3, 20)),
        ("1/3", Fraction(1, 3)),
        ("33.333%", Fraction(33333, 100_000)),
        ("100%", Fraction(1)),
        (1, Fraction(1)),
        (Decimal("0.1000000000000000000000000000001"), Fraction(10**30 + 1, 10**31)),
    ],
)
def test_a_share_is_exact(written: object, means: Fraction) -> None:
    assert share(written) == means


@pytest.mark.parametrize(
    "written",
    [
        *(0, 15, -1, True, Decimal("1.01"), Decimal("inf"), Decimal("-0.1"), [], None),
        *("15", "0%", "101%", "4/3", "1/0", "0/3", "a/b", "15%%", "-5%", "9" * 9999 + "%"),
    ],
)
def test_what_is_no_share_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a share above 0 and up to 100 %"):
        share(written)


def test_epochs_and_weights_are_numbers_above_zero() -> None:
    assert ratio(Decimal("13.8")) == ratio("13.8") == ratio("69/5") == Fraction(69, 5)
    assert ratio(3) == 3
    for wrong in (0, -2, Decimal("nan"), True, "15%", "three", MOST + 1, "9" * 5000):
        with pytest.raises(ValueError, match="is not a number above 0"):
            ratio(wrong)


def test_whole_numbers_and_bounds() -> None:
    assert whole(4096, 1) == 4096
    assert number(Decimal("0.5")) == 0.5
    assert str(number(Decimal("-0.0"))) == "0.0"
    for wrong in (0, True, "4096", Decimal("4096"), MOST + 1):
        with pytest.raises(ValueError, match="is not a whole number from 1"):
            whole(wrong, 1)
    for wrong in ("1", True, Decimal("inf"), Decimal("1e999999999")):
        with pytest.raises(ValueError, match="is not a finite number"):
            number(wrong)


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=1, max_denominator=10**6))
def test_a_share_survives_its_own_text(part: Fraction) -> None:
    assert share(f"{part.numerator}/{part.denominator}") == part
    assert Fraction(percent(part).removesuffix(" %")) == part * 100


@given(st.integers(1, 10**6), st.sampled_from("KMBT"))
def test_suffixes_are_powers_of_a_thousand(count: int, suffix: str) -> None:
    assert tokens(f"{count}{suffix}") == count * 1000 ** ("KMBT".index(suffix) + 1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_any_value_is_shown_in_one_short_line(value: object) -> None:
    assert len(shown(value)) <= 6 * 40 + 2
    assert "\n" not in shown(value)
    for read in (tokens, share, ratio, number):
        with suppress(ValueError):
            read(value)
