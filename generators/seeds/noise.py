"""Damage and boilerplate that can be seen without a teacher, before one is paid to read them.

Mangled formulas and code in a seed poison everything made from it (phi-4 report, 2.3 [R]).
"""

import re

_MANGLED = re.compile(
    "\ufffd|[\ue000-\uf8ff\U000f0000-\U0010fffd\ud800-\udfff]"  # lost, private use, half a pair
    "|[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]"  # control characters
    "|\u00c3[\u0080-\u00bf]|\u00e2\u20ac|\u00c2[\u00a0-\u00bf]"  # UTF-8 read as Latin-1
    r"|\(cid:\d+\)"  # a glyph that a PDF could not name
)
_BOILERPLATE = re.compile(
    r"all rights reserved|\u00a9|\bcopyright\b|cookie|privacy policy|follow us|back to top"
    r"|terms (?:of|and) (?:use|service|conditions)|\b(?:sign|log) ?(?:up|in)\b|subscribe|newsletter"
    r"|click here|\bshare (?:this|on)\b|enable javascript|skip to (?:main )?content|add to cart"
    r"|read more|leave a (?:reply|comment)|project gutenberg|\bposted (?:by|on|in)\b|advertisement"
    r"|related (?:posts|articles)|page \d+ of \d+|\bisbn\b|printed in\b",
    re.IGNORECASE,
)
_LINE_WORDS = 25
"""Longer lines are prose that may well be about cookies or copyright."""


def mangled_share(text: str) -> float:
    """Share of the characters that stand where extraction lost or broke something, in [0, 1]."""
    lost = sum(len(match[0]) for match in _MANGLED.finditer(text))
    return lost / len(text) if text else 0.0


def boilerplate_share(text: str) -> float:
    """Share of the words that stand in short lines of site or book boilerplate, in [0, 1]."""
    total = boilerplate = 0
    for line in text.split("\n"):
        words = len(line.split())
        total += words
        if words <= _LINE_WORDS and _BOILERPLATE.search(line):
            boilerplate += words
    return boilerplate / total if total else 0.0
