"""Numbers as people write them, read exactly: `250B` tokens, `15%`, `1/3`, `13.8` epochs.

What comes in is what TOML gives: texts, whole numbers, and decimals with all their digits. Nothing
here ever is a binary float. A text that is no quantity is a ValueError that says what to write.
"""

import json
import re
from decimal import Decimal
from fractions import Fraction

MOST = 2**63 - 1
"""Largest whole number that TOML promises; larger ones are refused."""
_DIGITS = 40
"""Of a decimal: more are refused, so that no number takes long to compute with."""

_DECIMAL = r"[0-9][0-9_]{0,24}(\.[0-9]{1,24})?"
TOKENS = rf"^{_DECIMAL} ?[KMBT]?( tokens?)?$"
SHARE = rf"^({_DECIMAL} ?%|[0-9]{{1,18}}/[1-9][0-9]{{0,17}})$"
RATIO = rf"^({_DECIMAL}|[0-9]{{1,18}}/[1-9][0-9]{{0,17}})$"
"""Patterns of the texts, which editors check too (`manifests.spec.schema`)."""

_SCALE = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def tokens(value: object) -> int:
    """Whole tokens, at least 1: `8_000_000`, `"250B"`, `"1.5M tokens"`; K is 1,000."""
    number = _number(value)
    if isinstance(value, str) and re.fullmatch(TOKENS, value):
        digits = value.partition(" token")[0].rstrip()
        unit = digits[-1] if digits[-1] in _SCALE else ""
        number = _fraction(digits.removesuffix(unit).rstrip()) * _SCALE[unit]
    if number is None or number.denominator != 1 or not 0 < number <= MOST:
        raise ValueError(
            f"{shown(value)} is not a whole number of tokens above 0;"
            ' write 8_000_000, "250B" or "1.5M tokens"'
        )
    return int(number)


def share(value: object) -> Fraction:
    """A part of a whole, above 0 and at most 1: `"15%"`, `0.15`, `"1/3"`."""
    number = _number(value)
    if isinstance(value, str) and re.fullmatch(SHARE, value):
        percent = value.endswith("%")
        number = _fraction(value.removesuffix("%").rstrip()) / (100 if percent else 1)
    if number is None or not 0 < number <= 1:
        raise ValueError(
            f'{shown(value)} is not a share above 0 and up to 100 %; write "15%", 0.15 or "1/3"'
        )
    return number


def ratio(value: object) -> Fraction:
    """A number above 0, of epochs or a weight: `3`, `13.8`, `"1/3"`."""
    number = _number(value)
    if isinstance(value, str) and re.fullmatch(RATIO, value):
        number = _fraction(value)
    if number is None or not 0 < number <= MOST:
        raise ValueError(f'{shown(value)} is not a number above 0; write 3, 1.5 or "1/3"')
    return number


def whole(value: object, low: int) -> int:
    """A whole number from `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MOST:
        raise ValueError(f"{shown(value)} is not a whole number from {low}")
    return value


def number(value: object) -> float:
    """Any finite number, for bounds that are compared with measured ones."""
    exact = _number(value)
    if exact is None:
        raise ValueError(f"{shown(value)} is not a finite number; write 50 or 0.5")
    return float(exact)


def percent(part: Fraction) -> str:
    """A share for people, and never rounded: `97.5 %`, or `200/3 %`."""
    hundredths = part * 100
    decimal = hundredths * 10**9
    if decimal.denominator != 1:
        return f"{hundredths} %"
    return f"{Decimal(int(decimal)).scaleb(-9).normalize():f} %"


def shown(value: object) -> str:
    """A TOML value in one short line."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) > MOST:
            return "a number of too many digits"
        case str():
            text = value if len(value) <= _DIGITS else f"{value[: _DIGITS - 3]}..."
            return json.dumps(text, ensure_ascii=not text.isprintable())
        case dict():
            return "a table"
        case list():
            return "a list"
    return str(value)[:_DIGITS]


def _number(value: object) -> Fraction | None:
    """An exact number, or None for what is none, is not finite or is far out of any scale."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, int):
        return Fraction(value) if abs(value) <= MOST else None
    if not value.is_finite() or len(value.as_tuple().digits) > _DIGITS:
        return None
    return Fraction(value) if -_DIGITS <= value.adjusted() <= _DIGITS else None


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace("_", ""))
