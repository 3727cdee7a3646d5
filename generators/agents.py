"""The agents of AgentInstruct: each is a prompt, the shape of its answer, and a role.

Content transformation gives the seed another form; an instruction writer asks something of it; a
suggester and an editor sharpen that; an answerer answers, and a judge reads all of it.
Source: AgentInstruct (Mitra et al. 2024) [RW]; wording, schemas and numbers are ours [I].
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from generators.asking import PromptText, ask_json
from generators.contract import Tools
from generators.endings import whole_sentences
from generators.talk import check_clean
from generators.taxonomy import Task
from manifests.completions import Decoding

Score = Annotated[int, Field(ge=1, le=5)]
Answerable = Literal["yes", "no"]


class Written(BaseModel):
    """An instruction, new or edited."""

    instruction: Annotated[str, Field(min_length=8, max_length=3000)]


class ShortWritten(Written):
    """The same, for a very small teacher."""

    instruction: Annotated[str, Field(min_length=12, max_length=200)]


class Suggestion(BaseModel):
    """How an instruction should be changed."""

    analysis: Annotated[str, Field(max_length=1500)]
    edit: Annotated[str, Field(min_length=1, max_length=1500)]


class ShortSuggestion(Suggestion):
    """The same, for a very small teacher."""

    analysis: Annotated[str, Field(max_length=60)]
    edit: Annotated[str, Field(min_length=1, max_length=120)]


class Answered(BaseModel):
    """The answer, after the places of the text that bear on it."""

    basis: Annotated[str, Field(max_length=3000)]
    can_be_answered: Answerable
    response: Annotated[str, Field(min_length=1, max_length=12_000)]


class ShortAnswered(Answered):
    """The same, for a very small teacher."""

    basis: Annotated[str, Field(max_length=80)]
    response: Annotated[str, Field(min_length=20, max_length=320)]


class Verdict(BaseModel):
    """What the judge makes of text, instruction and answer."""

    analysis: Annotated[str, Field(max_length=2000)]
    can_be_answered: Answerable
    follows: Score
    grounded: Score
    self_contained: Score


class ShortVerdict(Verdict):
    """The same, for a very small teacher."""

    analysis: Annotated[str, Field(max_length=80)]


class Size(StrEnum):
    """How much the answers may hold."""

    FULL = "full"
    SHORT = "short"


class Edit(StrEnum):
    """What a refinement makes of an instruction [RW: AgentInstruct]."""

    HARDER = "harder"
    TRICKIER = "trickier"
    UNANSWERABLE = "unanswerable"


_EDITS = {
    Edit.HARDER: "harder: it takes more steps of thought, joins more places of the text, or puts "
    "one more precise demand on the answer",
    Edit.TRICKIER: "trickier: a hasty reader goes wrong, because an obvious answer is not the "
    "right one, while a careful reader still finds exactly one",
    Edit.UNANSWERABLE: "impossible to answer from the text: it asks for something near to what the "
    "text says that the text, read with care, does not settle, and nothing in its wording gives "
    "that away",
}


_WRITTEN: dict[Size, tuple[type[Written], int]] = {
    Size.FULL: (Written, 3000),
    Size.SHORT: (ShortWritten, 200),
}
_ANSWERED: dict[Size, tuple[type[Answered], int]] = {
    Size.FULL: (Answered, 12_000),
    Size.SHORT: (ShortAnswered, 320),
}
_SUGGESTION: dict[Size, type[Suggestion]] = {
    Size.FULL: Suggestion,
    Size.SHORT: ShortSuggestion,
}
_VERDICT: dict[Size, type[Verdict]] = {Size.FULL: Verdict, Size.SHORT: ShortVerdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all agents of one record have before them."""

    text: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """The agents after the transformation; their prompts begin alike, with the text."""

    instruct: PromptText
    suggest: PromptText
    edit: PromptText
    answer: PromptText
    judge: PromptText
    writing: Decoding
    answering: Decoding
    judging: Decoding
    size: Size = Size.FULL

    async def written(self, at: Context, tools: Tools) -> str:
        """A new instruction of the context's type."""
        asked = self.instruct.messages(
            text=at.text,
            task=at.task.name,
            definition=at.task.definition,
        )
        schema, limit = _WRITTEN[self.size]
        new = await ask_json(tools, schema, asked, self.writing)
        return _clean(new.instruction, limit)

    async def refined(self, at: Context, instruction: str, edit: Edit, tools: Tools) -> str:
        """The instruction after one suggestion, applied."""
        common = {"text": at.text, "task": at.task.name, "aim": _EDITS[edit]}
        asked = self.suggest.messages(instruction=instruction, **common)
        schema = _SUGGESTION[self.size]
        suggested = await ask_json(tools, schema, asked, self.judging, role="critic")
        asked = self.edit.messages(instruction=instruction, edit=suggested.edit, **common)
        answer, limit = _WRITTEN[self.size]
        edited = await ask_json(tools, answer, asked, self.writing)
        return _clean(edited.instruction, limit)

    async def answered(self, at: Context, instruction: str, tools: Tools) -> Answered:
        """The answer, cleaned."""
        asked = self.answer.messages(text=at.text, instruction=instruction)
        schema, limit = _ANSWERED[self.size]
        answer = await ask_json(tools, schema, asked, self.answering)
        return answer.model_copy(update={"response": _clean(answer.response, limit)})

    async def judged(
        self, at: Context, instruction: str, answer: Answered, tools: Tools
    ) -> Verdict:
        """What the judge says; it does not see whether the answerer held it answerable."""
        asked = self.judge.messages(text=at.text, instruction=instruction, answer=answer.response)
        return await ask_json(tools, _VERDICT[self.size], asked, self.judging, role="critic")


def _clean(text: str, limit: int) -> str:
    return check_clean(whole_sentences(text, limit), allow_meta=True)
