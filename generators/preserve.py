"""What a faithful rewrite must keep: the numbers and the names of its source.

Names are what is written as one: words with capitals within a sentence, acronyms, code in
backticks. German writes every noun with a capital and many scripts have none: there, acronyms and
code alone are names. So recall is a floor that a bad rewrite misses, not a proof of a good one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generators.numbers import Number, numbers, spelled_numbers

_CODE = re.compile(r"`([^`\n]{1,60})`")
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n|[\"\u201c\u201e\u00ab]")
_WRAP = re.compile(r"(?<=[^\n]{50})(?<![.!?:;|])\n(?=[^\s#|>*+-])")
"""A line end inside a hard-wrapped paragraph, which may divide a name."""
_TOKEN = re.compile(r"\w(?:[\w.&'\u2019-]*\w)?|[^\w\s]")
_WORD = re.compile(r"\w+")
_LINK_WORDS = "of the de la le du des van von der den di da del bin al and"
_OPENER_WORDS = """
a an the this that these those it he she they we you i his her its their our my in on at by for from
to of with as if when while after before because since although though however but and or so yet not
no some many most all both each one there here what who how why which where is are was were do does
did can could will would may might must should let see
"""
_LINKS = frozenset(_LINK_WORDS.split())
_OPENERS = frozenset(_OPENER_WORDS.split())
"""Words whose capital at the start of a sentence means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What of its source a text has kept; recalls are in [0, 1], 1 where nothing was to keep."""

    number_recall: float
    entity_recall: float
    lost: tuple[str, ...]
    """Numbers, then names, in order."""
    new_numbers: tuple[str, ...]


def kept(source: str, text: str, lang: str) -> Kept:
    """Compare the numbers and names of `text` with those of the `source` it was made from."""
    wanted = numbers(source)
    told = numbers(text)
    told_anyhow = told | spelled_numbers(text)
    source_anyhow = wanted | spelled_numbers(source)
    lost = {n for n in wanted if not any(n.agrees(t) or t.agrees(n) for t in told_anyhow)}
    new = {t for t in told if not any(n.agrees(t) or t.agrees(n) for n in source_anyhow)}
    names = entities(source, lang)
    words = _words(text)
    lost_names = {name for name in names if not _told(name, text, words)}
    return Kept(
        number_recall=_recall(len(wanted), len(lost)),
        entity_recall=_recall(len(names), len(lost_names)),
        lost=(*_shown(lost), *sorted(lost_names)),
        new_numbers=_shown(new),
    )


def entities(text: str, lang: str) -> set[str]:
    """The names in `text` as written there; code keeps its backticks."""
    found = {f"`{code}`" for code in _CODE.findall(text)}
    prose = _WRAP.sub(" ", _CODE.sub(" ", text))
    common = {word for word in _WORD.findall(prose) if word.islower()}
    for sentence in _SENTENCE.split(prose):
        tokens = _TOKEN.findall(sentence)
        words = [token for token in tokens if token[0].isalpha()]
        if len(words) > 1 and sum(word[0].isupper() for word in words) > 0.7 * len(words):
            continue  # a title: its capitals name nothing
        found.update(word for word in words if _is_acronym(word))
        if lang != "de":
            found.update(_names(tokens, common))
    return found


def _names(tokens: Sequence[str], common: set[str]) -> Iterator[str]:
    """Runs of words with capitals, joined by `of`, `van` and the like."""
    run: list[str] = []
    for at, token in enumerate([*tokens, "."]):
        if token[0].isupper():
            opens = at == 0 or not any(t[0].isalnum() for t in tokens[:at])
            if not (opens and (token.casefold() in _OPENERS or token.casefold() in common)):
                run.append(token)
            if opens and run and not _followed(tokens, at):
                run = []  # the only capital may be the sentence's own
        elif run and token in _LINKS and _followed(tokens, at):
            run.append(token)
        else:
            name = " ".join(run)
            if len(name) > 1 and name.casefold() not in common and name.casefold() not in _OPENERS:
                yield name
            run = []


def _followed(tokens: Sequence[str], at: int) -> bool:
    """Whether a word with a capital comes next, or after one linking word."""
    following = list(tokens[at + 1 : at + 3])
    if following and following[0] in _LINKS:
        following = following[1:]
    return bool(following) and following[0][0].isupper()


def _is_acronym(word: str) -> bool:
    letters = [c for c in word if c.isalpha()]
    return len(letters) > 1 and sum(c.isupper() for c in letters) >= max(2, len(letters) - 1)


def _words(text: str) -> set[str]:
    words = {word.casefold() for word in _WORD.findall(text)}
    return words | {word.removesuffix("s") for word in words}


def _told(name: str, text: str, words: set[str]) -> bool:
    """Whether all words of the name stand in the text, in any order."""
    if name.startswith("`"):
        return name.strip("`") in text
    parts = [p for p in _WORD.findall(name) if p not in _LINKS and p != "s"]
    return all(p.casefold() in words or p.casefold().removesuffix("s") in words for p in parts)


def _recall(wanted: int, lost: int) -> float:
    return 1.0 - lost / wanted if wanted else 1.0


def _shown(found: set[Number]) -> tuple[str, ...]:
    return tuple(str(number) for number in sorted(found))
