"""Text that matches a regular expression: the regular part of the language, nothing clever.

Walks the parse tree that Python's own `re` makes. Look-around and back-references are refused.
"""

import re
import string
from random import Random
from typing import Any

# The parse tree has no public name; Python is pinned to 3.11.
from re import _constants as _op  # type: ignore[attr-defined]  # isort: skip
from re import _parser  # type: ignore[attr-defined]  # isort: skip

_PRINTABLE: list[str] = [
    *string.ascii_lowercase,
    *string.ascii_uppercase,
    *string.digits,
    *" _-.,:;!?/()",
]
_REPEATS = 6
"""How much longer than its minimum a repetition may become."""


class Unsupported(ValueError):
    """This pattern or schema asks for more than the simulated teacher can write."""


def matching(pattern: str, rng: Random) -> str:
    """A text in which `pattern` is found.

    Raises:
        Unsupported: Not a regular expression, or one with look-around or back-references.
    """
    try:
        text = _write(_parser.parse(pattern), rng)
    except re.error as error:
        raise Unsupported(f"pattern {pattern!r}: {error}") from error
    if re.search(pattern, text) is None:
        raise Unsupported(f"no text found for pattern {pattern!r}")
    return text


def _write(nodes: Any, rng: Random) -> str:
    return "".join(_node(kind, value, rng) for kind, value in nodes)


def _node(kind: Any, value: Any, rng: Random) -> str:
    if kind is _op.LITERAL:
        return chr(value)
    if kind in (_op.ANY, _op.NOT_LITERAL):
        return rng.choice([c for c in _PRINTABLE if c != chr(value or 0)])
    if kind is _op.IN:
        return rng.choice(_members(value))
    if kind in (_op.MAX_REPEAT, _op.MIN_REPEAT):
        low, high, inner = value
        times = rng.randint(low, min(high, low + _REPEATS))
        return "".join(_write(inner, rng) for _ in range(times))
    if kind is _op.BRANCH:
        return _write(rng.choice(value[1]), rng)
    if kind is _op.SUBPATTERN:
        return _write(value[3], rng)
    if kind is _op.AT:
        return ""
    raise Unsupported(f"a pattern with {str(kind).lower()}")


def _members(items: Any) -> list[str]:
    allowed: list[str] = []
    negated = False
    for kind, value in items:
        if kind is _op.NEGATE:
            negated = True
        elif kind is _op.LITERAL:
            allowed.append(chr(value))
        elif kind is _op.RANGE:
            allowed += [chr(c) for c in range(value[0], min(value[1], value[0] + 255) + 1)]
        elif kind is _op.CATEGORY:
            allowed += [c for c in _PRINTABLE if _in_category(value, c)]
    if negated:
        allowed = [c for c in _PRINTABLE if c not in allowed]
    if not allowed:
        raise Unsupported("a pattern with an empty character class")
    return allowed


def _in_category(category: Any, character: str) -> bool:
    classes = {"DIGIT": r"\d", "WORD": r"\w", "SPACE": r"\s"}
    name = str(category).removeprefix("CATEGORY_")
    inverted, name = name.startswith("NOT_"), name.removeprefix("NOT_")
    return (re.match(classes[name], character) is not None) is not inverted
