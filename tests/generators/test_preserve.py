from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.numbers import Number, numbers, spelled_numbers
from generators.preserve import entities, kept


def number(value: str, unit: str = "") -> Number:
    return Number(Decimal(value), unit)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,500,000 people", {number("1500000")}),
        ("1.500.000 Menschen", {number("1500000")}),
        ("1\u202f500\u202f000 habitants", {number("1500000")}),
        ("1.5 million people", {number("1500000")}),
        ("1.234,56 Euro und 1,234.56 dollars", {number("1234.56")}),
        ("3,5 Grad", {number("3.5")}),
        ("5 km, 5km and 5 kilometres", {number("5", "km")}),
        ("40% or 40 percent or 40 per cent", {number("40", "%")}),
        ("at -20 \u00b0C", {number("-20", "\u00b0c")}),
        ("from 1914-1918", {number("1914"), number("1918")}),
        ("the 1990s and the 19th century", {number("1990"), number("19")}),
        ("version 1.2.3", {number("1"), number("2"), number("3")}),
        ("H2O and x2", set()),
        ("see Figure 3 and [12], Table 4", set()),
        ("1. First\n2) Second\n## Step 3: third\n**4.** fourth", set()),
        ("a 3-year study of 12 mice", {number("3", "year"), number("12")}),
        ("10.", {number("10")}),
    ],
)
def test_numbers_compare_by_value_and_unit(text: str, found: set[Number]) -> None:
    assert numbers(text) == found


@given(st.integers(0, 10**12))
def test_grouping_does_not_change_a_number(value: int) -> None:
    assert numbers(f"about {value:,} of them") == numbers(f"about {value} of them")


def test_numbers_in_words_are_read() -> None:
    assert spelled_numbers("twenty-one of two million") == {number("21"), number("2000000")}


def test_a_number_may_be_spelled_out_and_its_unit_go_unsaid() -> None:
    source = "The trail is 12 km long and has 3 huts."
    assert kept(source, "| km | huts |\n|---|---|\n| 12 | three |", "en").number_recall == 1.0
    assert kept("It took two days.", "It took 2 days.", "en").new_numbers == ()


def test_a_lost_changed_or_new_number_is_named() -> None:
    source = "The trail is 12 km long and has 3 huts."
    lost = kept(source, "The trail has 3 huts.", "en")
    assert lost.number_recall == 0.5
    assert lost.lost == ("12 km",)
    changed = kept(source, "The trail is 12 miles long and has 3 huts and 40 beds.", "en")
    assert changed.lost == ("12 km",)
    assert changed.new_numbers == ("12 mile", "40")


def test_nothing_to_keep_is_all_kept() -> None:
    nothing = kept("Water is wet.", "Wet is what water is.", "en")
    assert (nothing.number_recall, nothing.entity_recall, nothing.lost) == (1.0, 1.0, ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The physicist Albert Einstein met Bohr in Paris.", {"Albert Einstein", "Bohr", "Paris"}),
        ("Albert Einstein was born in Ulm.", {"Albert Einstein", "Ulm"}),
        ("However, Bohr did not agree.", {"Bohr"}),
        ("The University of Oxford is old.", {"University of Oxford"}),
        ("Water is wet. Rivers flow.", set()),
        ("DNA stores it, and NASA and the mRNA too.", {"DNA", "NASA", "mRNA"}),
        ("Call `open_file(path)` and wait.", {"`open_file(path)`"}),
        ("# The Long Road to Rome\n\nIt was long.", set()),
        ("We went to Paris, London and Rome.", {"Paris", "London and Rome"}),
        (
            "The licence was written long ago for the people of the Free\nSoftware Foundation.",
            {"Free Software Foundation"},
        ),
        ("Sailors fear it. The old Sailors say so, and sailors know.", set()),
    ],
)
def test_names_are_found_by_the_way_they_are_written(text: str, found: set[str]) -> None:
    assert entities(text, "en") == found


def test_german_nouns_are_no_names_but_acronyms_are() -> None:
    assert entities("Die alte Katze der EU sitzt im Garten.", "de") == {"EU"}


def test_a_name_is_kept_in_any_order_and_case_and_a_lost_one_is_named() -> None:
    source = "Students of the University of Oxford met Niels Bohr. They used the `sum` call."
    good = "Oxford University students met Bohr, Niels; they called sum."
    assert kept(source, good, "en").entity_recall == 1.0
    bad = kept(source, "Students met Bohr.", "en")
    assert bad.entity_recall == 0.0
    assert bad.lost == ("Niels Bohr", "University of Oxford", "`sum`")


@given(st.text(max_size=200), st.sampled_from(["en", "de", "ja"]))
def test_a_text_keeps_all_of_itself(text: str, lang: str) -> None:
    same = kept(text, text, lang)
    assert (same.number_recall, same.entity_recall, same.new_numbers) == (1.0, 1.0, ())
