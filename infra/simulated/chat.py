"""The OpenAI dialect that vLLM speaks: questions in, answers out, errors in its words."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.simulated.settings import Settings, tokens_of


class BadRequest(Exception):
    """A question that will never be answered; carries vLLM's error body."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question as the simulation sees it."""

    is_chat: bool
    prompt: str
    """All messages, rendered."""
    source: str
    """The last message: what the answer is made of."""
    max_tokens: int
    stop: tuple[str, ...]
    schema: Any
    """The JSON schema to satisfy; None for plain text."""
    stream: bool
    wants_usage: bool
    question: int
    """Hash of the messages."""
    work: int
    """Hash of the messages and the seed: how long the answer gets."""
    identity: int
    """Hash of everything that the answer depends on."""

    @property
    def prompt_tokens(self) -> int:
        """Simulated tokens of the prompt."""
        return tokens_of(self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the teacher says."""

    text: str
    finish_reason: str
    tokens: int


def error_body(status: int, message: str, kind: str) -> bytes:
    """An error as vLLM words it."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return json.dumps({"error": error}).encode()


def parse_ask(body: bytes, settings: Settings, *, is_chat: bool) -> Ask:
    """Read the body of a completion request.

    Raises:
        BadRequest: Not what the API takes, another model's name, or longer than the context.
    """
    try:
        data = json.loads(body)
    except ValueError as error:
        raise BadRequest(400, f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadRequest(400, "the body is not a JSON object")
    _check_model(data, settings)
    if data.get("n") not in (None, 1):
        raise BadRequest(400, "n must be 1: ask again with another seed")
    messages = _messages(data) if is_chat else [("", _text(data.get("prompt"), "prompt"))]
    prompt = (
        "".join(f"<|{role}|>{text}\n" for role, text in messages) if is_chat else messages[0][1]
    )
    stop = data.get("stop") or ()
    return Ask(
        is_chat=is_chat,
        prompt=prompt,
        source=messages[-1][1],
        max_tokens=_max_tokens(data, tokens_of(prompt), settings.max_model_len),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        schema=_schema(data.get("response_format")),
        stream=data.get("stream") is True,
        wants_usage=bool((data.get("stream_options") or {}).get("include_usage")),
        question=_hash(prompt),
        work=_hash(f"{settings.seed}/{data.get('seed')}/{prompt}"),
        identity=_identity(data),
    )


def completion_body(ask: Ask, answer: Answer, cached_tokens: int, model: str) -> dict[str, Any]:
    """The answer as the API gives it, not streamed."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": answer.finish_reason, "logprobs": None}
    if ask.is_chat:
        choice["message"] = {"role": "assistant", "content": answer.text}
    else:
        choice["text"] = answer.text
    return {
        **header(ask, model, "chat.completion" if ask.is_chat else "text_completion"),
        "choices": [choice],
        "usage": usage(ask, answer, cached_tokens),
    }


def header(ask: Ask, model: str, kind: str) -> dict[str, Any]:
    """The fields that every answer begins with."""
    prefix = "chatcmpl" if ask.is_chat else "cmpl"
    return {
        "id": f"{prefix}-{ask.identity:016x}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def usage(ask: Ask, answer: Answer, cached_tokens: int) -> dict[str, Any]:
    """The tokens that an answer took."""
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": ask.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def models_body(settings: Settings) -> bytes:
    """The list of models: the name, and the name with its revision."""
    names = [settings.model, f"{settings.model}@{settings.revision}"]
    cards = [
        {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "vllm",
            "root": settings.model,
            "parent": None,
            "max_model_len": settings.max_model_len,
        }
        for name in names
    ]
    return json.dumps({"object": "list", "data": cards}).encode()


def _check_model(data: Mapping[str, Any], settings: Settings) -> None:
    model = data.get("model")
    if model not in (None, settings.model, f"{settings.model}@{settings.revision}"):
        raise BadRequest(404, f"The model `{model}` does not exist.", "NotFoundError")


def _messages(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest(400, "messages is not a list of at least one message")
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        raise BadRequest(400, "a message is not an object with a role")
    return [(m["role"], _text(m.get("content"), "content")) for m in messages]


def _text(content: Any, name: str) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest(400, f"{name} is not text")
    return "\n".join(str(text) for text in texts)


def _max_tokens(data: Mapping[str, Any], prompt_tokens: int, limit: int) -> int:
    asked = data.get("max_completion_tokens") or data.get("max_tokens")
    if asked is not None and (not isinstance(asked, int) or asked < 1):
        raise BadRequest(400, f"max_tokens is {asked!r}, expected an integer of at least 1")
    most = limit - prompt_tokens
    if most < (asked or 1):
        raise BadRequest(
            400,
            f"This model's maximum context length is {limit} tokens. However, you requested "
            f"{asked or 1} output tokens and your prompt contains {prompt_tokens} input tokens. "
            "Please reduce the length of the input prompt or the number of requested "
            "output tokens.",
        )
    return asked or most


def _schema(response_format: Any) -> Any:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    wrapper = response_format.get("json_schema") if kind == "json_schema" else None
    if not isinstance(wrapper, dict) or not isinstance(wrapper.get("schema"), dict | bool):
        raise BadRequest(400, "response_format is neither text, json_object nor json_schema")
    return wrapper["schema"]


def _identity(data: Mapping[str, Any]) -> int:
    skipped = ("model", "stream", "stream_options", "user")
    asked = {k: v for k, v in data.items() if k not in skipped}
    return _hash(json.dumps(asked, sort_keys=True))


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
