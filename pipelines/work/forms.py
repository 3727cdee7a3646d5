"""Which form a record takes, and its pieces: texts to encode, and ids, one behind the other.

A record with turns is a chat; one of the bucket `dpo` a pair, of responses or of single tokens; one
of the bucket `sft` without turns a chat of two turns, from its parts; any other a text. What cannot
be formed is refused, with its reason: nothing is trained on in a form that its record does not say.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from manifests.records import Bucket, Reason, Record, Rejection, Turn
from manifests.token_rows import Form
from pipelines.work.chat import ASSISTANT, ChatFormat, Ids, Piece, wrong_turns

_LABEL = re.compile(r"(?:^|\n)\s*(?:Question|Instruction):\s*$")
QUESTIONS = ("instruction", "question")
ANSWERS = ("answer", "code")


class Choice(StrEnum):
    """What records are to be."""

    AUTO = "auto"
    """As they themselves say."""
    TEXT = "text"
    """Texts, all of them: for a base model."""
    CHAT = "chat"
    """Chats, whatever their bucket; pairs stay pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A document before its texts are encoded; all places are counted in pieces."""

    form: Form
    pieces: tuple[Piece, ...]
    loss: tuple[tuple[int, int], ...] = ()
    """From and to (not included)."""
    spans: tuple[tuple[str, int, int], ...] = ()
    single: tuple[int, ...] = ()
    """Pieces that have to be one id each."""


Forming = Callable[[Record], Draft | Rejection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """Forms records."""

    choice: Choice
    chat: ChatFormat | None
    """None where everything is text."""
    vocabulary: int
    controls: frozenset[int]
    """Ids that nobody's text may have."""

    def draft(self, record: Record) -> Draft | Rejection:
        """The document of a record, or why it is none."""
        if self.chat is None:
            return Draft(form=Form.TEXT, pieces=(record.text,))
        if record.bucket is Bucket.DPO:
            return self._pair(record, self.chat)
        if record.turns:
            return _chat(record.turns, self.chat)
        if record.bucket is Bucket.SFT or self.choice is Choice.CHAT:
            turns = two_turns(record)
            return turns if isinstance(turns, Rejection) else _chat(turns, self.chat)
        return Draft(form=Form.TEXT, pieces=(record.text,))

    def _pair(self, record: Record, chat: ChatFormat) -> Draft | Rejection:
        parts = record.parts
        turns = record.turns or tuple(
            Turn(role="user", content=text) for text in (parts.get("prompt"),) if text
        )
        if not turns:
            return _wrong("a pair has turns or a part prompt, to which somebody responds")
        if wrong := wrong_turns(turns):
            return wrong
        if turns[-1].role in ("assistant", "system"):
            return _wrong(f"the last turn of a pair's prompt is the {turns[-1].role}'s")
        prompt = chat.prompt(turns)
        if "chosen" in parts and "rejected" in parts:
            return _responses(parts["chosen"], parts["rejected"], prompt, chat)
        return self._tokens(parts, prompt)

    def _tokens(self, parts: Mapping[str, str], prompt: list[Piece]) -> Draft | Rejection:
        prefix = self._prefix(parts)
        chosen, rejected = (self._one(parts, side) for side in ("chosen", "rejected"))
        for found in (prefix, chosen, rejected):
            if isinstance(found, Rejection):
                return found
        assert not isinstance(prefix, Rejection)
        assert not isinstance(chosen, Rejection)
        assert not isinstance(rejected, Rejection)
        if chosen == rejected:
            return _wrong("chosen and rejected are the same token")
        pieces = [*prompt, *prefix]
        end = len(pieces)
        places = ((end, end + 1), (end + 1, end + 2))
        return Draft(
            form=Form.TOKEN_PAIR,
            pieces=(*pieces, chosen, rejected),
            loss=places,
            spans=(("prompt", 0, end), ("chosen", *places[0]), ("rejected", *places[1])),
            single=(end, end + 1),
        )

    def _prefix(self, parts: Mapping[str, str]) -> tuple[Piece, ...] | Rejection:
        """What of the response stands before the token: ids, a text, or nothing."""
        if "prefix_ids" not in parts:
            return (parts["prefix"],) if parts.get("prefix") else ()
        try:
            given = json.loads(parts["prefix_ids"])
        except ValueError:
            given = None
        if not isinstance(given, list):
            return _wrong("prefix_ids is no JSON list of ids")
        ids = tuple(given)
        return self._checked("prefix_ids", ids) or ((ids,) if ids else ())

    def _one(self, parts: Mapping[str, str], side: str) -> Piece | Rejection:
        """The token of one side: an id, or a text that has to be one."""
        if f"{side}_id" not in parts:
            text = parts.get(f"{side}_token", "")
            return text or _wrong(f"a pair has a part {side}, {side}_id or {side}_token")
        text = parts[f"{side}_id"]
        if not re.fullmatch(r"\d{1,9}", text):
            return _wrong(f"{side}_id {text!r} is no id"[:300])
        ids = (int(text),)
        return self._checked(f"{side}_id", ids) or ids

    def _checked(self, what: str, ids: Ids) -> Rejection | None:
        for number in ids:
            if type(number) is not int or not 0 <= number < self.vocabulary:
                return _wrong(f"{what}: {number!r} is no id below {self.vocabulary}"[:300])
            if number in self.controls:
                return _wrong(f"{what}: {number} closes a document or begins or ends a turn")
        return None


def two_turns(record: Record) -> tuple[Turn, Turn] | Rejection:
    """A conversation of one question and its answer, from a record's parts [I].

    The user says what stands in the record's text before the question (a passage), the question,
    and its options; the assistant the reasoning and the answer, or the code that was asked for.
    """
    parts = record.parts
    question = next((parts[name] for name in QUESTIONS if parts.get(name)), "")
    answer = next((name for name in ANSWERS if parts.get(name)), "")
    if not question or not answer:
        return _wrong(
            f"no turns, and not both of {' or '.join(QUESTIONS)} and {' or '.join(ANSWERS)}"
        )
    try:
        options = dict(json.loads(parts.get("options") or "{}"))
    except (ValueError, TypeError):
        return _wrong("options is no JSON object of letters and options")
    before, found, _ = record.text.partition(question)
    context = _LABEL.sub("", before).strip() if found else parts.get("context", "")
    posed = "\n".join([question, *(f"{letter}. {text}" for letter, text in options.items())])
    asked = Turn(role="user", content="\n\n".join(text for text in (context, posed) if text))
    return asked, Turn(role=ASSISTANT, content=_answer(parts, answer, options))


def _answer(parts: Mapping[str, str], name: str, options: Mapping[str, object]) -> str:
    text = parts[name]
    if name == "code":
        return f"```{parts.get('language', '')}\n{text}\n```"
    if text in options:
        text = f"{text}. {options[text]}"
    reasoning = parts.get("reasoning")
    return f"{reasoning}\n\nAnswer: {text}" if reasoning else text


def _chat(turns: tuple[Turn, ...], chat: ChatFormat) -> Draft | Rejection:
    if wrong := wrong_turns(turns):
        return wrong
    if all(turn.role != ASSISTANT for turn in turns):
        return _wrong("no turn is the assistant's, so there is nothing to learn")
    pieces: list[Piece] = []
    spans = []
    for number, turn in enumerate(turns):
        pieces += chat.said(turn, first=not number)
        spans.append((turn.role, len(pieces) - 2, len(pieces)))
    loss = tuple((start, stop) for role, start, stop in spans if role == ASSISTANT)
    return Draft(form=Form.CHAT, pieces=tuple(pieces), loss=loss, spans=tuple(spans))


def _responses(
    chosen: str, rejected: str, prompt: list[Piece], chat: ChatFormat
) -> Draft | Rejection:
    if not chosen or not rejected:
        return Rejection(reason=Reason.EMPTY, detail="an empty response")
    if chosen == rejected:
        return _wrong("chosen and rejected are the same")
    first = len(prompt)
    again, end = first + 2, 2 * first + 4
    return Draft(
        form=Form.RESPONSE_PAIR,
        pieces=(*prompt, chosen, chat.end, *prompt, rejected, chat.end),
        loss=((first, again), (end - 2, end)),
        spans=(
            ("prompt", 0, first),
            ("chosen", first, again),
            ("prompt", again, end - 2),
            ("rejected", end - 2, end),
        ),
    )


def _wrong(detail: str) -> Rejection:
    return Rejection(reason=Reason.SCHEMA, detail=detail)
