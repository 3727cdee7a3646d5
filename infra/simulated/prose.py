"""Pseudo-prose: sentences from the words of the question, so that they look like English.

Numbers and capitalised names of the question are usually all kept, as a faithful rewrite would.
"""

import re
from functools import lru_cache
from random import Random

_FACT = re.compile(r"[A-Z\d](?:[\w'-]|[.,:/](?=\d))*%?(?: [A-Z][\w'-]+)*")
_GLUE = [
    *("the", "of", "and", "to", "in", "that", "is", "with", "for", "as", "on", "by"),
    *("this", "from", "which", "when", "because", "so"),
]
_WORD_ROOM = 6
"""Characters that a word takes on average, the space included."""
_FAITHFUL = 0.9
"""Share of answers that keep every number and name."""
_CODE = """\
def solve(values):
    total = {a}
    for value in values:
        total += value * {b}
    return total
"""


def prose(rng: Random, source: str, characters: int) -> str:
    """Sentences of at most `characters` characters, never empty."""
    pool = _words(source)
    pairs = characters // (2 * _WORD_ROOM) + 1
    words = rng.choices(_GLUE, k=2 * pairs)
    words[1::2] = rng.choices(pool, k=pairs)
    if rng.random() < _FAITHFUL:
        facts = _facts(source)
        # Over the first half, because the end may be cut.
        step = max(1, len(words) // (2 * len(facts) + 1))
        for index, fact in enumerate(facts[: len(words) // 2]):
            words[index * step] = fact
    return _fit(_sentences(rng, words), characters)


def phrase(rng: Random, source: str, characters: int) -> str:
    """A few words without a full stop, for names, titles and short answers."""
    pool = _words(source)
    text = " ".join(rng.choices(pool, k=max(1, min(4, characters // _WORD_ROOM))))
    return (text[:characters].rstrip() or "a").capitalize()


def code(rng: Random) -> str:
    """A small valid Python program."""
    return _CODE.format(a=rng.randint(0, 9), b=rng.randint(2, 9))


@lru_cache(maxsize=16)
def _words(source: str) -> list[str]:
    # Splitting is several times faster than a pattern, and this runs for every request.
    return [word for word in source.lower().split() if word.isalpha()] or _GLUE


@lru_cache(maxsize=16)
def _facts(source: str) -> list[str]:
    return list(dict.fromkeys(_FACT.findall(source)))


def _sentences(rng: Random, words: list[str]) -> str:
    parts: list[str] = []
    at = 0
    while at < len(words):
        size = rng.randint(7, 15)
        sentence = " ".join(words[at : at + size])
        at += size
        end = ".\n\n" if len(parts) % 5 == 4 else ". "
        parts.append(sentence[0].upper() + sentence[1:] + end)
    return "".join(parts)


def _fit(text: str, characters: int) -> str:
    if len(text) > characters:
        text = text[:characters].rpartition(" ")[0] or text[:characters]
    text = text.rstrip(" \n.,")
    return text[: max(characters - 1, 0)] + "." if text else "."
