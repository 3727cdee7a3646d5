"""Cuts a document into passages at line borders, without a teacher.

A passage is a run of whole lines, so its span reproduces its text exactly. Prose is read as blocks
(headings, paragraphs, lists, code, formulas); blocks are packed into passages that begin at a
heading where they can. A list or code block is never cut. A code document gives one passage per
definition. What fits no passage is left out, not squeezed in.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from generators.seeds.definitions import definition_spans
from manifests.records import Kind

_FENCE = re.compile(r"\s{0,3}(?P<mark>```+|~~~+)")
_FORMULAS = {"$$": "$$", r"\[": r"\]"}
_HEADING = re.compile(
    r"#{1,6}\s+\S|(?:chapter|section|part|book|appendix)\s+[\divxlc]+\b.{0,60}$", re.IGNORECASE
)
_UNDERLINE = re.compile(r"(?:={3,}|-{3,})\s*$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_INDENTED = re.compile(r"(?: {4}|\t)\s*\S")
_SENTENCE_END = re.compile(r"[.!?…\u3002\uff01\uff1f][\"'\u2019\u201d)\]*_]*\s*$")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A run of whole lines of a document."""

    start_line: int
    end_line: int
    """1-based and inclusive."""
    text: str


def count_words(text: str) -> int:
    """Words by white space; two characters of a script without spaces count as a word [I]."""
    unspaced = len(_UNSPACED.findall(text))
    return len(_UNSPACED.sub(" ", text).split()) + unspaced // 2


def numbered(text: str) -> str:
    """`text` with its 1-based number before each line, as prompts show it."""
    return "\n".join(f"{n}: {line}" for n, line in enumerate(text.split("\n"), start=1))


def segment(kind: Kind, text: str, *, min_words: int, max_words: int) -> list[Passage]:
    """The passages of a document in order, each of `min_words` to `max_words` words."""
    lines = text.split("\n")
    spans: Iterable[tuple[int, int]]
    if kind is Kind.CODE:
        spans = definition_spans(text)
    else:
        runs = _pack(_blocks(lines, max_words), min_words, max_words)
        joined = _join_small(runs, min_words, max_words)
        spans = [(run[0].start, run[-1].end) for run in joined if run]
    return [
        Passage(start_line=start + 1, end_line=end, text=passage)
        for start, end in spans
        if min_words <= count_words(passage := "\n".join(lines[start:end])) <= max_words
    ]


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines that belong together: 0-based `start`, exclusive `end`."""

    start: int
    end: int
    words: int
    heading: bool
    leads: bool
    """It belongs to what follows: a heading, or a line like `The steps are:`."""


def _blocks(lines: Sequence[str], max_words: int) -> Iterator[_Block]:
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        heading = _heading_end(lines, start)
        solid = heading or _solid_end(lines, start)
        end = solid or _paragraph_end(lines, start)
        if not solid and _count(lines, start, end) > max_words:
            end = _sentence_line(lines, start, end)
        leads = bool(heading) or lines[end - 1].rstrip().endswith(":")
        yield _Block(start, end, _count(lines, start, end), bool(heading), leads)
        start = end


def _heading_end(lines: Sequence[str], start: int) -> int:
    underlined = start + 1 < len(lines) and _UNDERLINE.match(lines[start + 1])
    if underlined and len(lines[start].split()) <= 15:
        return start + 2
    return start + 1 if _HEADING.match(lines[start]) else 0


def _solid_end(lines: Sequence[str], start: int) -> int:
    """Where the fence, formula, list or indented code that starts here ends; 0 for none."""
    line = lines[start]
    if fence := _FENCE.match(line):
        return _closing(lines, start, fence["mark"])
    stripped = line.strip()
    for opening, closing in _FORMULAS.items():
        if stripped.startswith(opening) and closing not in stripped[len(opening) :]:
            return _closing(lines, start, closing)
    if _ITEM.match(line):
        return _run_end(lines, start, lambda text: bool(_ITEM.match(text) or text[:1] in " \t"))
    if _INDENTED.match(line):
        return _run_end(lines, start, lambda text: bool(_INDENTED.match(text)))
    return 0


def _closing(lines: Sequence[str], start: int, mark: str) -> int:
    for at in range(start + 1, len(lines)):
        if lines[at].strip().startswith(mark) or (
            mark == "$$" and lines[at].rstrip().endswith(mark)
        ):
            return at + 1
    return 0


def _run_end(lines: Sequence[str], start: int, belongs: Callable[[str], bool]) -> int:
    """The end of a list or indented code: blank lines inside belong to it, at its end not."""
    end = at = start + 1
    while at < len(lines):
        blank = not lines[at].strip()
        follows_text = bool(lines[at - 1].strip())
        if (
            not blank
            and not belongs(lines[at])
            and not (_ITEM.match(lines[start]) and follows_text)
        ):
            break
        at += 1
        end = end if blank else at
    return end


def _paragraph_end(lines: Sequence[str], start: int) -> int:
    end = start + 1
    while end < len(lines) and lines[end].strip():
        starts_other = _HEADING.match(lines[end]) or _FENCE.match(lines[end])
        if starts_other or _ITEM.match(lines[end]):
            break
        end += 1
    return end


def _sentence_line(lines: Sequence[str], start: int, end: int) -> int:
    """The first line border in a long paragraph at which a sentence ends."""
    for at in range(start, end):
        if _SENTENCE_END.search(lines[at]):
            return at + 1
    return start + 1


def _count(lines: Sequence[str], start: int, end: int) -> int:
    return count_words("\n".join(lines[start:end]))


def _size(run: Sequence[_Block]) -> int:
    return sum(block.words for block in run)


def _pack(blocks: Iterable[_Block], low: int, high: int) -> list[list[_Block]]:
    """Runs of adjacent blocks; an empty run stands where a block too large is left out."""
    runs: list[list[_Block]] = [[]]
    for block in blocks:
        if block.words > high:
            runs += [[], []]
            continue
        run = runs[-1]
        section_ends = block.heading and _size(run) >= low
        if run and (section_ends or _size(run) + block.words > high):
            keep = len(run)
            while keep and run[keep - 1].leads:
                keep -= 1
            if _size(run[keep:]) + block.words > high:
                keep = len(run)
            runs[-1:] = [run[:keep], run[keep:]]
        runs[-1].append(block)
    return runs


def _join_small(runs: Iterable[list[_Block]], low: int, high: int) -> list[list[_Block]]:
    """The runs, with those too small to stand alone joined to the run before."""
    joined: list[list[_Block]] = [[]]
    for run in runs:
        before = joined[-1]
        small = min(_size(before), _size(run)) < low
        if before and run and small and _size(before) + _size(run) <= high:
            before.extend(run)
        else:
            joined.append(list(run))
    return joined
