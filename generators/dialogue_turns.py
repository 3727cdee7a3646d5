"""One turn of a dialogue: what the teacher is asked for, and what code finds wrong with it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from generators.dialogue_casts import Speaker
from generators.echoes import copied_share, repeated_share
from generators.endings import whole_sentences
from generators.preserve import kept
from generators.seeds.segment import count_words
from generators.seeds.tags import grounding
from generators.talk import check_clean
from manifests.completions import Message
from manifests.records import Reason, Rejection, Seed

Move = Literal["facts", "summary", "perspective", "scenario"]
Score = Annotated[int, Field(ge=1, le=5)]
FULL_SCORE = 5
_CHARACTERS = 2000


class Said(BaseModel):
    """A turn as the teacher writes it."""

    move: Move
    text: Annotated[str, Field(min_length=1, max_length=_CHARACTERS)]


class Evaluation(BaseModel):
    """What the writer thinks of its turn, and what should come next (D.1.3 [R])."""

    grounded: Score
    new: Score
    next_move: Annotated[str, Field(max_length=300)]
    nuance: Score


class ShortEvaluation(Evaluation):
    """The same, for a very small teacher."""

    next_move: Annotated[str, Field(max_length=80)]


class Check(BaseModel):
    """A critic's view of a whole dialogue."""

    analysis: Annotated[str, Field(max_length=1500)]
    consistent: Score
    grounded: Score
    stands_alone: Score


class ShortCheck(Check):
    """The same, for a very small teacher."""

    analysis: Annotated[str, Field(max_length=80)]


class Size(StrEnum):
    """How much is asked of the teacher."""

    FULL = "full"
    PLAIN = "plain"
    """For a very small teacher: turns in plain text, and short judgements."""


EVALUATIONS: dict[Size, type[Evaluation]] = {Size.FULL: Evaluation, Size.PLAIN: ShortEvaluation}
CHECKS: dict[Size, type[Check]] = {Size.FULL: Check, Size.PLAIN: ShortCheck}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A turn as written; the move is None where the teacher was not asked to name it."""

    move: Move | None
    text: str

    @property
    def own(self) -> Message:
        """The turn as its writer sees it in the history: in the form that was asked for."""
        if self.move is None:
            return Message(role="assistant", content=self.text)
        content = json.dumps({"move": self.move, "text": self.text}, ensure_ascii=False)
        return Message(role="assistant", content=content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """An accepted turn with its measures."""

    speaker: Speaker
    draft: Draft
    evaluation: Evaluation
    praise: int
    """Openers cut off."""
    new_numbers: int
    """Numbers that neither the seed nor an earlier turn has, outside supposed cases."""

    @property
    def text(self) -> str:
        """The words of the turn, cleaned."""
        return self.draft.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a turn must keep to; the defaults are [I]."""

    min_words: int = 12
    max_words: int = 160
    max_growth: float = 2.0
    """Words over the mean of the turns before it, from the third turn on."""
    max_repeated: float = 0.2
    """Share of a turn's 4-grams that stand in an earlier turn, or before in itself."""
    min_opening: float = 0.35
    """Share of the first turn's content words that the snippet holds."""
    min_overlap: float = 0.08
    """The same of later turns, unless the writer calls them fully grounded."""
    min_grounded: int = 4
    min_new: int = 3
    min_nuance: int = 2
    """Least self-evaluation, of 5."""


_FINE = (
    r"(?:really |very |truly |such an? )?(?:great|good|excellent|fantastic|wonderful|brilliant|"
    r"insightful|thoughtful|interesting|important|fascinating|valid|fair|amazing) "
    r"(?:question|point|observation|thought|insight|idea|job|work|perspective|argument|analysis)"
)
_END = r"\s*(?:[.!]+|,|\N{EM DASH}|:)\s*"
_PRAISE = re.compile(
    r"(?:(?:(?:(?:that|this)(?:'s| is)|what|you(?:'ve| have)? (?:raised?|made?|asked?)) (?:an? )?)?"
    rf"{_FINE}(?: (?:about|you|there|to (?:ask|raise|make|bring up))\b[^.!?:,\n]{{0,60}})?{_END}"
    r"|i(?:'m| am) (?:so |really )?(?:glad|happy|pleased) (?:that )?you [^.!?\n]{0,60}[.!]+\s*"
    r"|thank(?:s| you) (?:so much |very much )?for [^.!?\n]{0,60}[.!]+\s*"
    rf"|i (?:really |completely |totally |fully )?agree(?: with you)?{_END}"
    rf"|you(?:'re| are) (?:absolutely |completely |totally |exactly |quite )?right{_END}"
    rf"|(?:absolutely|exactly|certainly|of course|indeed|well (?:said|done|put)){_END})",
    re.IGNORECASE,
)
"""Openers that flatter or only agree; a word of them within a sentence of substance stays."""


def cut_praise(text: str) -> tuple[str, int]:
    """`text` without flattering openers, and their number."""
    count = 0
    straight = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    while match := _PRAISE.match(straight):
        straight, text = straight[match.end() :], text[match.end() :]
        count += 1
    text = text.strip()
    return (text[:1].upper() + text[1:] if count else text), count


def clean_turn(text: str, speakers: Sequence[Speaker], allow_meta: bool) -> str:
    """The speaker's own words: no name before them, and nobody else's turn after them.

    Raises:
        Declined: The turn refuses, or talks of the source where it may not; or nothing is left.
    """
    names = "|".join(re.escape(speaker.name) for speaker in speakers)
    said = whole_sentences(text, _CHARACTERS).strip()
    own = re.sub(rf"\A\W*(?:{names})\W*:\W*", "", said)
    first = re.split(rf"\n\W*(?:{names})\W*:", own)[0]
    return check_clean(first, allow_meta=allow_meta)


def problem_of(
    text: str, seed: Seed, earlier: Sequence[Spoken], bounds: Bounds
) -> Rejection | None:
    """What is wrong with a turn beyond any judgement, or None."""
    words = count_words(text)
    if words < bounds.min_words:
        return Rejection(reason=Reason.TOO_SHORT, detail=f"it has {words} words")
    if words > bounds.max_words:
        return Rejection(reason=Reason.TOO_LONG, detail=f"it has {words} words")
    if len(earlier) >= 2:
        usual = sum(count_words(turn.text) for turn in earlier) / len(earlier)
        if words > bounds.max_growth * usual and words > bounds.max_words // 2:
            return Rejection(reason=Reason.TOO_LONG, detail=f"{words} words after {usual:.0f}")
    echo = max([repeated_share(text), *(copied_share(text, t.text, 4) for t in earlier)])
    if echo > bounds.max_repeated:
        return Rejection(reason=Reason.REPETITIVE, detail=f"it repeats what was said: {echo:.0%}")
    if not earlier and (share := grounding(text, seed.text)) < bounds.min_opening:
        detail = f"it does not state the core information: {share:.0%} of its words are from there"
        return Rejection(reason=Reason.UNFAITHFUL, detail=detail)
    return None


def judged_problem(
    text: str, said: Evaluation, seed: Seed, earlier: Sequence[Spoken], bounds: Bounds
) -> Rejection | None:
    """What the writer's own evaluation says against a turn, or None."""
    for what, score, floor in (
        ("grounded", said.grounded, bounds.min_grounded),
        ("new", said.new, bounds.min_new if earlier else 1),
        ("nuance", said.nuance, bounds.min_nuance if earlier else 1),
    ):
        if score < floor:
            return Rejection(reason=Reason.JUDGE, detail=f"{what} {score} < {floor}")
    if said.grounded < FULL_SCORE and grounding(text, seed.text) < bounds.min_overlap:
        return Rejection(reason=Reason.UNFAITHFUL, detail="it drifts from the subject")
    return None


def new_numbers(text: str, seed: Seed, earlier: Sequence[Spoken]) -> int:
    """How many numbers of a turn nobody has mentioned before."""
    known = "\n".join([seed.text, *(turn.text for turn in earlier)])
    return len(kept(known, text, seed.lang).new_numbers)
