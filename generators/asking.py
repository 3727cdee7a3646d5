"""Asking the teacher: prompt texts as package data, answers as text or as a checked JSON object.

A prompt text is a Markdown file with the headings `## system` and `## user`; `{name}` is a field
and `{{`, `}}` are braces. What is put into a field is data: its own braces are left alone.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from generators.contract import Declined, Tools
from manifests.completions import Decoding, FinishReason, Message, Prompt
from manifests.records import Reason

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptText:
    """The wording of one prompt; part of its generator's identity."""

    system: str
    user: str

    def messages(self, **fields: object) -> tuple[Message, ...]:
        """The chat messages with the fields filled in."""
        system = Message(role="system", content=self.system.format(**fields))
        user = Message(role="user", content=self.user.format(**fields))
        return (system, user) if system.content else (user,)


@cache
def prompt_text(name: str) -> PromptText:
    """The prompt text in `generators/prompts/<name>.md`."""
    text = resources.files("generators").joinpath("prompts", f"{name}.md").read_text("utf-8")
    before, _, user = text.partition("## user\n")
    system = before.partition("## system\n")[2]
    if not user.strip():
        raise ValueError(f"prompts/{name}.md has no text under '## user'")
    return PromptText(system=system.strip(), user=user.strip())


@cache
def _schema(answer: type[BaseModel]) -> str:
    # In the order of the fields: a grammar makes the teacher write them so, and an answer must not
    # come before its reasoning.
    return json.dumps(answer.model_json_schema(), separators=(",", ":"), ensure_ascii=False)


async def ask_messages(
    tools: Tools,
    messages: tuple[Message, ...],
    decoding: Decoding,
    *,
    sample: int = 0,
    role: str = "writer",
) -> str:
    """The teacher's answer as text, stripped.

    Raises:
        Declined: The answer is empty or was cut at its token limit.
    """
    prompt = Prompt(messages=messages, decoding=decoding, sample=sample, role=role)
    completion = await tools.complete(prompt)
    if completion.finish_reason is FinishReason.LENGTH:
        raise Declined(Reason.TRUNCATED, f"answer cut at {decoding.max_tokens} tokens")
    text = completion.text.strip()
    if not text:
        raise Declined(Reason.EMPTY, "the teacher answered with nothing")
    return text


async def ask_json(
    tools: Tools,
    answer: type[Answer],
    messages: tuple[Message, ...],
    decoding: Decoding,
    *,
    sample: int = 0,
    role: str = "writer",
) -> Answer:
    """The teacher's answer as an `answer` object; its JSON schema is enforced by the server.

    Raises:
        Declined: Truncated, not JSON, or JSON that the schema does not allow.
    """
    prompt = Prompt(
        messages=messages, decoding=decoding, schema=_schema(answer), sample=sample, role=role
    )
    completion = await tools.complete(prompt)
    if completion.finish_reason is FinishReason.LENGTH:
        raise Declined(Reason.TRUNCATED, f"answer cut at {decoding.max_tokens} tokens")
    try:
        return answer.model_validate_json(completion.text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = Reason.PARSE if first["type"] == "json_invalid" else Reason.SCHEMA
        where = ".".join(str(part) for part in first["loc"])
        raise Declined(reason, f"{answer.__name__}.{where}: {first['msg']}") from error


def render_json(value: object) -> str:
    """JSON as a prompt shows it to the teacher: indented, stable."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
