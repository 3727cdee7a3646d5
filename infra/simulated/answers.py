"""What the simulated teacher says: the same answer to the same question, always.

How long an answer gets is a lognormal draw from its messages and seed; what it says also depends on
the schema and the sampling parameters. Rules let a test put words into its mouth.
"""

import json
import math
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from infra.simulated.chat import Answer, Ask
from infra.simulated.prose import prose
from infra.simulated.schemas import Writer
from infra.simulated.settings import TOKEN_CHARACTERS, Settings, tokens_of


class AnswerRule(BaseModel):
    """Prompts that contain a text get this answer; the first rule that fits decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    containing: str
    answer: Any
    """A string as it is, anything else as JSON."""
    finish_reason: Literal["stop", "length"] = "stop"


def answer_to(ask: Ask, rules: tuple[AnswerRule, ...], settings: Settings) -> Answer:
    """The answer to `ask`.

    Raises:
        Unsupported: The response schema uses what the simulation does not know.
    """
    for rule in rules:
        if rule.containing in ask.prompt:
            text = rule.answer if isinstance(rule.answer, str) else json.dumps(rule.answer)
            return _limited(ask, text, rule.finish_reason)
    length = _length(ask.work, settings)
    rng = Random(ask.identity)
    if ask.schema is not None:
        return _limited(ask, _json(ask, rng, length * TOKEN_CHARACTERS), "stop")
    text = prose(rng, ask.source, length * TOKEN_CHARACTERS)
    for stop in ask.stop:
        text = text.partition(stop)[0] if stop else text
    return _limited(ask, text, "stop")


def _length(work: int, settings: Settings) -> int:
    """Tokens of an answer: a lognormal draw with the mean asked for, at least 1."""
    draw = Random(work)
    location = math.log(settings.mean_tokens) - settings.sigma**2 / 2
    return max(1, min(settings.max_model_len, round(draw.lognormvariate(location, settings.sigma))))


def _json(ask: Ask, rng: Random, room: int) -> str:
    writer = Writer(rng=rng, question=ask.question, source=ask.source, root=ask.schema)
    return json.dumps(writer.value(ask.schema, room=room), ensure_ascii=False)


def _limited(ask: Ask, text: str, finish_reason: str) -> Answer:
    tokens = tokens_of(text)
    if tokens > ask.max_tokens:
        text, tokens = text[: ask.max_tokens * TOKEN_CHARACTERS], ask.max_tokens
        finish_reason = "length"
    return Answer(text=text, finish_reason=finish_reason, tokens=tokens)
