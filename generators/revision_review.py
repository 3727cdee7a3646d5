"""Who judges an exercise: a critic by rubric, a blind comparison, an independent solver.

The critic writes its advice before its mark, and is another model than the writer where the run
maps the role `critic` to one; the solver never sees the reasoning that it has to find.
"""

import string
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, Field, create_model

from generators.asking import PromptText, ask_json
from generators.contract import Tools
from generators.revision_exercise import Exercise, normalised
from manifests.completions import Decoding
from manifests.fingerprint import content_id


class Mark(BaseModel):
    """One rubric item judged."""

    advice: str
    score: int = Field(ge=1, le=5)


class Comparison(BaseModel):
    """Which of two exercises is better."""

    comparison: str
    winner: Literal["1", "2"]


class LetterSolution(BaseModel):
    """A solver's answer to an exercise with options."""

    reasoning: str
    solution: Literal["A", "B", "C", "D"]


class OpenSolution(BaseModel):
    """A solver's answer to an open exercise."""

    reasoning: str
    solution: str


class Equivalence(BaseModel):
    """Whether two answers say the same."""

    comparison: str
    same: Literal["yes", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """Marks and advice by rubric item."""

    scores: dict[str, int]
    advice: dict[str, str]

    @property
    def lowest(self) -> int:
        """The mark that decides."""
        return min(self.scores.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewers:
    """The prompts by which exercises are judged, and how the answers are sampled."""

    critique: PromptText
    compare: PromptText
    solve: PromptText
    same: PromptText
    decoding: Decoding
    advice_chars: int = 0
    """Most characters of one piece of advice, which is then one line; 0 is no bound."""

    async def marks(
        self, rubric: tuple[tuple[str, str], ...], passage: str, exercise: Exercise, tools: Tools
    ) -> Critique:
        """The critic's view of every rubric item."""
        items = "\n".join(f"- {name}: {meaning}" for name, meaning in rubric)
        asked = self.critique.messages(passage=passage, exercise=exercise.solved, rubric=items)
        names = tuple(name for name, _ in rubric)
        schema = _marks(names, self.advice_chars)
        answer = await ask_json(tools, schema, asked, self.decoding, role="critic")
        marked: dict[str, Mark] = {name: getattr(answer, name) for name in names}
        return Critique(
            scores={name: mark.score for name, mark in marked.items()},
            advice={name: mark.advice.strip() for name, mark in marked.items()},
        )

    async def prefers(
        self, passage: str, first: Exercise, last: Exercise, tools: Tools
    ) -> bool | None:
        """Whether the last is better, blind and asked in both orders; None if these disagree."""
        if first.solved == last.solved:
            return None
        pair = sorted((first, last), key=lambda one: content_id(one.solved))
        chosen = set()
        for one, two in (pair, reversed(pair)):
            asked = self.compare.messages(passage=passage, first=one.solved, second=two.solved)
            verdict = await ask_json(tools, Comparison, asked, self.decoding, role="critic")
            chosen.add(one if verdict.winner == "1" else two)
        return None if len(chosen) == 2 else chosen == {last}

    async def reaches_key(self, passage: str, exercise: Exercise, tools: Tools) -> bool:
        """Whether a solver who has `passage` (it may be empty) comes to the exercise's answer."""
        text = f"Read this first.\n\n{passage}\n\n" if passage else ""
        asked = self.solve.messages(passage=text, exercise=exercise.posed)
        if exercise.options:
            lettered = await ask_json(tools, LetterSolution, asked, self.decoding, role="solver")
            return lettered.solution == exercise.key
        free = await ask_json(tools, OpenSolution, asked, self.decoding, role="solver")
        if _bare(free.solution) == _bare(exercise.answer):
            return True
        asked = self.same.messages(
            question=exercise.question, first=exercise.answer, second=free.solution
        )
        judged = await ask_json(tools, Equivalence, asked, self.decoding, role="critic")
        return judged.same == "yes"


@cache
def _marks(items: tuple[str, ...], advice_chars: int) -> type[BaseModel]:
    """An answer with one `Mark` for each of `items`, all of them required."""
    mark: type[Mark] = Mark
    if advice_chars:
        bounded = Annotated[str, Field(max_length=advice_chars)]
        mark = create_model("BoundedMark", __base__=Mark, advice=(bounded, ...))
    fields = dict.fromkeys(items, (mark, ...))
    return create_model("Marks", **fields)  # type: ignore[call-overload, no-any-return]


def _bare(text: str) -> str:
    return normalised(text).strip(string.punctuation + " ")
