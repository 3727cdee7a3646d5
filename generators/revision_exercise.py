"""The exercise that is revised: what the teacher is asked for, what it becomes, what is checked.

A multiple-choice draft names its right option and its three wrong ones apart and knows no letters;
their places follow from the content, so the key is spread evenly whatever the teacher's habit. The
schemas ask for the thought before the verdict in any order of properties, alphabetical included.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from generators.contract import Declined
from generators.talk import check_clean
from manifests.fingerprint import content_id

LETTERS = "ABCD"
VERDICTS = ("supported", "contradicted", "not stated")
_CLAIM_QUESTION = "Does the passage support this claim, contradict it, or not say?"
LONGEST_RATIO = 1.6
"""The right option's length over the mean of the others' above which it stands out [I]."""

_BY_LETTER = re.compile(
    r"\b(?:[Oo]ptions?|[Cc]hoices?|[Aa]nswers?)\s+(?:is\s+)?\(?[A-D]\b|\([A-D]\)"
)
_WORD = re.compile(r"[^\W\d_]{4,}|\d+(?:[.,]\d+)*")
_ENDING = re.compile(r"(?<=[a-z]{4})(?:ing|ed|es|er|ly|s)$")
_COMMON_WORDS = """
    about above after again also always among another answer because been before being below
    between both cannot choice claim correct could does each either even every fact first
    follows from further given have having hence here however incorrect into itself just
    less like likely made make many might more most much must neither never none only option
    options other others over passage question rather reason right same shows should since
    some states still such than that their them then there therefore these they this those
    though through thus true under until very were what when where whether which while will
    with within without would wrong your
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


Text = Annotated[str, AfterValidator(_said)]
"""Checked here and not in the schema: a grammar for a bounded string lets no escape through, so
neither a line break nor a quotation mark could be written (seen in xgrammar 0.2.8)."""


class Choice(BaseModel):
    """A multiple-choice draft as the teacher writes it."""

    plan: Text
    question: Text
    reasoning: Text
    right: Text
    wrong: Annotated[list[Text], Field(min_length=3, max_length=3)]


class Open(BaseModel):
    """A draft with a short answer of its own."""

    plan: Text
    question: Text
    reasoning: Text
    solution: Text


class Claim(BaseModel):
    """A draft that states a claim to be checked against the passage."""

    plan: Text
    question: Text
    reasoning: Text
    verdict: Literal["supported", "contradicted", "not stated"]


class Short(BaseModel):
    """An open draft that a very small teacher finishes: no plan, and texts of one bounded line."""

    question: Annotated[str, Field(min_length=8, max_length=200)]
    reasoning: Annotated[str, Field(min_length=8, max_length=400)]
    solution: Annotated[str, Field(min_length=1, max_length=120)]


Draft = Choice | Open | Claim | Short


class Form(StrEnum):
    """Which sort of exercise a flavour makes."""

    CHOICE = "choice"
    OPEN = "open"
    CLAIM = "claim"
    SHORT = "short"


DRAFTS: dict[Form, type[Draft]] = {
    Form.CHOICE: Choice,
    Form.OPEN: Open,
    Form.CLAIM: Claim,
    Form.SHORT: Short,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A draft as its reader sees it."""

    question: str
    reasoning: str
    answer: str
    options: tuple[str, ...] = ()
    """In the order shown; empty for an open exercise."""
    fixed: bool = False
    """Whether the options are the same for all exercises of this form."""

    @property
    def key(self) -> str:
        """The right letter, or the answer itself where there are no options."""
        return LETTERS[self.options.index(self.answer)] if self.options else self.answer

    @property
    def posed(self) -> str:
        """The question with its options, as it is put to a solver."""
        lines = [f"{LETTERS[i]}. {option}" for i, option in enumerate(self.options)]
        return "\n".join([self.question, *lines])

    @property
    def solved(self) -> str:
        """Question, then reasoning, then the answer."""
        answer = f"{self.key}. {self.answer}" if self.options else self.answer
        return f"{self.posed}\n\n{self.reasoning}\n\nAnswer: {answer}"

    @property
    def parts(self) -> dict[str, str]:
        """The record's named pieces."""
        lettered = {LETTERS[i]: option for i, option in enumerate(self.options)}
        named = {"options": json.dumps(lettered, ensure_ascii=False)} if lettered else {}
        return {
            "question": self.question,
            **named,
            "reasoning": self.reasoning,
            "answer": self.key,
        }


def exercise_of(draft: Draft) -> Exercise:
    """The exercise that a draft describes; the places of options follow from its content."""
    question, reasoning = draft.question.strip(), draft.reasoning.strip()
    match draft:
        case Choice():
            answer = draft.right.strip()
            options = tuple(
                sorted(
                    [answer, *(text.strip() for text in draft.wrong)],
                    key=lambda option: content_id(question, option),
                )
            )
            return Exercise(question=question, reasoning=reasoning, answer=answer, options=options)
        case Claim():
            return Exercise(
                question=f"{_CLAIM_QUESTION}\n{question.removeprefix('Claim:').strip()}",
                reasoning=reasoning,
                answer=draft.verdict,
                options=VERDICTS,
                fixed=True,
            )
        case _:
            return Exercise(question=question, reasoning=reasoning, answer=draft.solution.strip())


def normalised(text: str) -> str:
    """`text` as it is compared: case, space, quotes and closing marks do not count."""
    return " ".join(text.casefold().replace('"', "").replace("'", "").split()).rstrip(".!;, ")


def longest_ratio(exercise: Exercise) -> float:
    """Length of the right option over the mean length of the others; 0 where options are fixed."""
    if exercise.fixed or not exercise.options:
        return 0.0
    others = [len(option) for option in exercise.options if option != exercise.answer]
    return len(exercise.answer) / max(1.0, mean(others)) if others else 0.0


def _content_words(text: str) -> set[str]:
    words = (word for word in _WORD.findall(text.casefold()) if word not in _COMMON)
    return {_ENDING.sub("", word) for word in words}


def overlap(exercise: Exercise, passage: str) -> float:
    """Share of the content words of answer and reasoning that the passage has too, 0 to 1.

    Common English endings do not count.
    """
    answer = "" if exercise.fixed else exercise.answer
    said = _content_words(f"{answer} {exercise.reasoning}")
    return len(said & _content_words(passage)) / len(said) if said else 0.0


def flaws(exercise: Exercise, *, with_passage: bool) -> tuple[str, ...]:
    """What is wrong with an exercise beyond doubt, as notes that its writer can act on."""
    found = []
    if len({normalised(option) for option in exercise.options}) < len(exercise.options):
        found.append("two options say the same: all four must differ")
    if (ratio := longest_ratio(exercise)) > LONGEST_RATIO:
        found.append(f"the right option is {ratio:.1f} times as long as the others: even them out")
    if not exercise.fixed and _BY_LETTER.search(exercise.reasoning):
        found.append("the reasoning names options by letter: name them by what they say")
    answer = normalised(exercise.answer)
    if not exercise.options and len(answer) > 3 and answer in normalised(exercise.question):
        found.append("the question contains its answer")
    try:
        for text in (exercise.question, exercise.reasoning):
            check_clean(text, allow_meta=with_passage)
    except Declined as declined:
        found.append(declined.rejection.detail)
    return tuple(found)
