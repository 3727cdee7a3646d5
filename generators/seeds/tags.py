"""What a tagger is asked about a passage, and the check of its answer against the passage.

The schema follows the report's D.1.1 [R]; where the report shows no vocabulary, it is ours [I]. A
tagger invents steps, so a step counts only if its lines lie in the passage and hold most of the
content words of its conclusion.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from manifests.records import Grade, ReasoningStep

Domain = Literal[
    "mathematics",
    "computing",
    "physical sciences",
    "life sciences",
    "earth and environment",
    "medicine and health",
    "engineering and technology",
    "social sciences",
    "economics and business",
    "law and politics",
    "history",
    "geography and travel",
    "philosophy and religion",
    "language and literature",
    "arts and music",
    "culture and entertainment",
    "sport and games",
    "everyday skills",
    "other",
]
"""Closed, so that a recipe can balance them: quality scores over-select STEM (2.3 [R])."""

InfoType = Literal[
    "explanation",
    "argument",
    "proof or derivation",
    "experiment or study",
    "procedure",
    "definition or reference",
    "data",
    "description",
    "narrative",
    "discussion",
    "opinion",
    "code",
    "other",
]

Line = Annotated[str, Field(min_length=1, max_length=160)]
"""Every string is bounded, so that a small teacher under a grammar comes to an end."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Tags(_Strict):
    """The answer to the tagging prompt."""

    brief: Line
    complexity: Grade
    domain: Domain
    has_chain: bool
    info_type: InfoType
    obscurity: Grade
    topic: Annotated[str, Field(min_length=1, max_length=60)]


class Step(_Strict):
    """One step of reasoning, as the tagger claims it."""

    assumption: Line
    conclusion: Line
    description: Line
    start_line: Annotated[int, Field(ge=0, le=9999)]
    end_line: Annotated[int, Field(ge=0, le=9999)]


class Chain(_Strict):
    """The answer to the chain prompt."""

    dependencies: Annotated[list[Line], Field(max_length=3)]
    steps: Annotated[list[Step], Field(max_length=5)]


def grounded_steps(steps: Iterable[Step], text: str, at_least: float) -> tuple[ReasoningStep, ...]:
    """The steps that `text` itself makes.

    Args:
        steps: What the tagger claims.
        text: The passage whose lines the steps cite, 1-based and inclusive.
        at_least: Share of a conclusion's content words that its lines must hold.
    """
    lines = text.split("\n")
    kept: dict[str, ReasoningStep] = {}
    for step in steps:
        if not 1 <= step.start_line <= step.end_line <= len(lines):
            continue
        conclusion = step.conclusion.strip()
        cited = "\n".join(lines[step.start_line - 1 : step.end_line])
        circular = conclusion.casefold() == step.assumption.strip().casefold()
        if circular or grounding(conclusion, cited) < at_least:
            continue
        kept.setdefault(
            conclusion.casefold(),
            ReasoningStep(
                assumption=step.assumption.strip(),
                conclusion=conclusion,
                description=step.description.strip(),
                start_line=step.start_line,
                end_line=step.end_line,
            ),
        )
    return tuple(kept.values())


def grounding(claim: str, source: str) -> float:
    """Share of the content words of `claim` that `source` holds; 0 where it has none."""
    claimed = _content(claim)
    return len(claimed & _content(source)) / len(claimed) if claimed else 0.0


_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_EMPTY_WORDS = """
the and for are was were has have had not but its this that these those with from into then than
thus hence therefore because since which what when where while will would can could may must should
also such some any all each every both one our their there they them been being does did how why who
only very more most less other over under about follows follow shows show means given conclude
conclusion
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())


def _content(text: str) -> set[str]:
    """Content words cut at six letters, against inflection; pairs of characters where no spaces."""
    found: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if word[0] >= "\u3040":
            found.update(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word.isdigit() or (len(word) > 2 and word not in _EMPTY):
            found.add(word[:6])
    return found
