"""The numbers of a text by value and unit, however they are written.

`1,500,000`, `1.500.000` and `1.5 million` are one number, and so are `5 km` and `5 kilometres`.
What only counts the text's own parts (list markers, `Figure 3`, `[12]`) is left out.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple


class Number(NamedTuple):
    """A value and its unit, `""` where none that we know follows it."""

    value: Decimal
    unit: str

    def agrees(self, other: "Number") -> bool:
        """Whether both can be the same: a unit may go unsaid, but not change."""
        return self.value == other.value and (self.unit == other.unit or not other.unit)

    def __str__(self) -> str:
        """As a person would write it."""
        return f"{self.value:f} {self.unit}".strip()


_COUNTERS = re.compile(
    r"^[ \t>|]*(?:[-*+\u2022]\s+)?(?:#{1,6}\s+)?[*_]*(?:\(?\d{1,3}[.):]|(?:step|question|part|fact"
    r"|tip|lesson|exercise|q|a)\s*\d{1,3}\b[.):]?)(?=[*_]*[ \t]+\S)"
    r"|\b(?:figures?|figs?\.?|tables?|sections?|chapters?|equations?|eqs?\.?|pages?|pp?\.)\s*"
    r"\(?\d+(?:[.\u2013-]\d+)*\)?"
    r"|\[\d+(?:[,\u2013-]\s*\d+)*\]",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>(?<![\w)\]])[-\u2212])?(?P<digits>\d+(?:[.,\u00a0\u2009\u202f]\d+)*)"
    r"(?:(?:st|nd|rd|th)\b)?"
    r"(?:[ \u00a0-]?(?P<scale>(?i:hundred|thousand|million|billion|trillion))s?\b)?"
    r"(?:s\b|[ \u00a0\u2009\u202f-]?(?P<unit>%|\u00b0\s?[CFcf]?|per cent\b|[^\W\d_]+\b)?)"
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNIT_NAMES = """
%: percent pct
km: kilometre kilometer
m: metre meter
cm: centimetre centimeter
mm: millimetre millimeter
mile: mi
ft: foot feet
kg: kilogram kilogramme
g: gram gramme
mg: milligram
lb: pound
tonne: ton
l: litre liter
ml: millilitre milliliter
second: sec
minute: min
hour: hr
day:
week:
month:
year: yr
hz: hertz
w: watt
kw: kilowatt
mw: megawatt
v: volt
j: joule
k: kelvin
"""


def _units() -> Iterator[tuple[str, str]]:
    for line in _UNIT_NAMES.strip().split("\n"):
        unit, _, names = line.partition(":")
        for name in (unit, *names.split()):
            yield name, unit
            if len(name) > 1:
                yield f"{name}s", unit
    yield "per cent", "%"
    yield "\u00b0c", "\u00b0c"
    yield "\u00b0f", "\u00b0f"
    yield "\u00b0", "\u00b0"


_UNITS = dict(_units())
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: n for n, word in enumerate(_ONES.split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), start=2)
}
_SPELLED = re.compile(
    rf"\b(?P<word>{'|'.join(_WORDS)})\b(?:[ -](?P<more>{'|'.join(_ONES.split()[1:10])})\b)?"
    rf"(?:[ -](?P<scale>{'|'.join(_SCALES)}))?",
    re.IGNORECASE,
)


def numbers(text: str) -> set[Number]:
    """The numbers that `text` writes in digits."""
    found: set[Number] = set()
    for match in _NUMBER.finditer(_COUNTERS.sub(" ", text)):
        name = " ".join((match["unit"] or "").casefold().split())
        unit = _UNITS.get(name.replace("\u00b0 ", "\u00b0"), "")
        factor = (-1 if match["sign"] else 1) * 10 ** _SCALES.get(
            (match["scale"] or "").casefold(), 0
        )
        found.update(Number(factor * value, unit) for value in _values(match["digits"]))
    return found


def spelled_numbers(text: str) -> set[Number]:
    """The numbers that `text` writes in English words, up to ninety-nine of a scale."""
    found: set[Number] = set()
    for match in _SPELLED.finditer(text):
        value = Decimal(_WORDS[match["word"].casefold()])
        if match["more"] and value >= 20:
            value += _WORDS[match["more"].casefold()]
        scale = _SCALES.get((match["scale"] or "").casefold(), 0)
        found.add(Number(value * 10**scale, ""))
    return found


def _values(digits: str) -> list[Decimal]:
    """What a run of digits, points and commas stands for; several where it is a list or version."""
    plain = re.sub(r"[\u00a0\u2009\u202f]", "", digits)
    marks = {mark for mark in ".," if mark in plain}
    if not marks:
        return [Decimal(plain)]
    if len(marks) == 2:
        last = max(".,", key=plain.rfind)
        (other,) = marks - {last}
        whole = plain.replace(other, "")
        return [Decimal(whole.replace(last, "."))] if whole.count(last) == 1 else _parts(plain)
    (mark,) = marks
    groups = plain.split(mark)
    in_threes = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    if in_threes and (mark == "," or len(groups) > 2):
        return [Decimal("".join(groups))]
    return [Decimal(".".join(groups))] if len(groups) == 2 else _parts(plain)


def _parts(digits: str) -> list[Decimal]:
    return [Decimal(part) for part in re.split(r"[.,]", digits)]
