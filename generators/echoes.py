"""How much a text repeats: itself, or the text it was made from."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def copied_share(text: str, source: str, n: int = 8) -> float:
    """Share of the n-grams of words of `text` that stand in `source`; 0 if it has none."""
    grams = _grams(text, n)
    known = set(_grams(source, n))
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def repeated_share(text: str, n: int = 4) -> float:
    """Share of the n-grams of words that stood before in `text`; 0 if it has none."""
    grams = _grams(text, n)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def repeated_lines(text: str) -> float:
    """Share of the lines with words that stood before in `text`; 0 if it has none."""
    lines = [line.strip().casefold() for line in text.split("\n") if _WORD.search(line)]
    return 1.0 - len(set(lines)) / len(lines) if lines else 0.0


def _grams(text: str, n: int) -> list[Sequence[str]]:
    words = _WORD.findall(text.casefold())
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
