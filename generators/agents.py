"""The agents of AgentInstruct: each is a prompt, the shape of its answer, and a role.

Content transformation gives the seed another form; an instruction writer asks something of it; a
suggester and an editor sharpen that; an answerer answers, and a judge reads all of it.
Source: AgentInstruct (Mitra et al. 2024) [RW]; wording, schemas and numbers are ours [I].
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from generators.asking import PromptText, ask_json, ask_messages
from generators.contract import Tools
from generators.endings import whole_sentences
from generators.talk import check_clean
from generators.taxonomy import Task
from manifests.completions import Decoding, Message

Score = Annotated[int, Field(ge=1, le=5)]
Answerable = Literal["yes", "no"]
_INSTRUCTION_CHARACTERS = 3000
_RESPONSE_CHARACTERS = 12_000


class Written(BaseModel):
    """An instruction, new or edited."""

    instruction: Annotated[str, Field(min_length=8, max_length=_INSTRUCTION_CHARACTERS)]


class Suggestion(BaseModel):
    """How an instruction should be changed."""

    analysis: Annotated[str, Field(max_length=1500)]
    edit: Annotated[str, Field(min_length=1, max_length=1500)]


class Reply(BaseModel):
    """The answer, after the places of the text that bear on it."""

    basis: Annotated[str, Field(max_length=3000)]
    can_be_answered: Answerable
    response: Annotated[str, Field(min_length=1, max_length=_RESPONSE_CHARACTERS)]


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
    """How much is asked of the teacher."""

    FULL = "full"
    PLAIN = "plain"
    """For a very small teacher: plain text but for the verdict, and a short one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a refinement makes of an instruction [RW: AgentInstruct]."""

    name: str
    aim: str
    """What the instruction is to be after it."""


HARDER = Edit(
    name="harder",
    aim="harder: it takes more steps of thought, joins more places of the text, or puts one more "
    "precise demand on the answer",
)
TRICKIER = Edit(
    name="trickier",
    aim="trickier: a hasty reader goes wrong, because an obvious answer is not the right one, "
    "while a careful reader still finds exactly one",
)
UNANSWERABLE = Edit(
    name="unanswerable",
    aim="impossible to answer from the text: it asks for something near to what the text says "
    "that the text, read with care, does not settle, and nothing in its wording gives that away",
)


_VERDICT: dict[Size, type[Verdict]] = {Size.FULL: Verdict, Size.PLAIN: ShortVerdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all agents of one record have before them."""

    text: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer, and whether the answerer holds that the text settles it, if it was asked."""

    response: str
    can_be_answered: Answerable | None


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
        return await self._instruction(asked, tools)

    async def refined(self, at: Context, instruction: str, edit: Edit, tools: Tools) -> str:
        """The instruction after one suggestion, applied."""
        common = {"text": at.text, "task": at.task.name, "aim": edit.aim}
        asked = self.suggest.messages(instruction=instruction, **common)
        suggested = await self._suggested(asked, tools)
        asked = self.edit.messages(instruction=instruction, edit=suggested, **common)
        return await self._instruction(asked, tools)

    async def answered(self, at: Context, instruction: str, tools: Tools) -> Answered:
        """The answer, cleaned; in plain text it makes no claim of what the text settles."""
        asked = self.answer.messages(text=at.text, instruction=instruction)
        if self.size is Size.PLAIN:
            said = await ask_messages(tools, asked, self.answering)
            return Answered(response=_clean(said), can_be_answered=None)
        found = await ask_json(tools, Reply, asked, self.answering)
        return Answered(
            response=_clean(found.response, _RESPONSE_CHARACTERS),
            can_be_answered=found.can_be_answered,
        )

    async def judged(
        self, at: Context, instruction: str, answer: Answered, tools: Tools
    ) -> Verdict:
        """What the judge says; it does not see whether the answerer held it answerable."""
        asked = self.judge.messages(text=at.text, instruction=instruction, answer=answer.response)
        return await ask_json(tools, _VERDICT[self.size], asked, self.judging, role="critic")

    async def _instruction(self, asked: tuple[Message, ...], tools: Tools) -> str:
        if self.size is Size.PLAIN:
            return _clean(await ask_messages(tools, asked, self.writing))
        written = await ask_json(tools, Written, asked, self.writing)
        return _clean(written.instruction, _INSTRUCTION_CHARACTERS)

    async def _suggested(self, asked: tuple[Message, ...], tools: Tools) -> str:
        if self.size is Size.PLAIN:
            return await ask_messages(tools, asked, self.writing, role="critic")
        suggestion = await ask_json(tools, Suggestion, asked, self.judging, role="critic")
        return suggestion.edit.strip()


def _clean(text: str, limit: int | None = None) -> str:
    whole = text if limit is None else whole_sentences(text, limit)
    return check_clean(whole, allow_meta=True)
