"""The words of the OpenAI chat protocol: a prompt as a request, a reply as a completion or a fault.

What an endpoint may do wrong is told apart by who has to act: the prompt's author (PromptRefused),
the run's owner (TeacherMisconfigured), or nobody, because trying again elsewhere helps (Fault).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from infra.teacher.models import Endpoint
from manifests.completions import Completion, FinishReason, Prompt, Usage, sampling_seed
from manifests.errors import PromptRefused, TeacherMisconfigured


class FaultKind(StrEnum):
    """Errors by class, as the snapshot counts them."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    STALL = "stall"
    RATE_LIMITED = "rate_limited"
    """429: slow down; no sign of sickness."""
    UNAVAILABLE = "unavailable"
    """503."""
    SERVER = "server"
    MALFORMED = "malformed"
    WRONG_MODEL = "wrong_model"
    """It does not serve, or did not answer as, the model it was chosen for."""


class Fault(Exception):
    """An attempt failed in a way that another attempt may not."""

    def __init__(self, kind: FaultKind, detail: str, retry_after: float | None = None) -> None:
        super().__init__(kind, detail)
        self.kind, self.detail, self.retry_after = kind, detail, retry_after

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Body = dict[str, Any]


@lru_cache(maxsize=256)
def _response_format(schema: str) -> Body:
    parsed = json.loads(schema)
    title = str(parsed.get("title", "")) if isinstance(parsed, dict) else ""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in title)[:64] or "answer"
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": parsed, "strict": True},
    }


def request_body(prompt: Prompt, endpoint: Endpoint) -> Body:
    """The request; its sampling seed follows from the prompt's key, so asking again is alike."""
    decoding = prompt.decoding
    body: Body = {
        "model": endpoint.served_name,
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": decoding.max_tokens,
        "seed": sampling_seed(prompt.key(endpoint.teacher.name)),
    }
    if decoding.stop:
        body["stop"] = list(decoding.stop)
    if prompt.schema is not None:
        body["response_format"] = _response_format(prompt.schema)
    return body


def read_reply(reply: Reply, endpoint: Endpoint) -> Completion:
    """The completion in a reply.

    Raises:
        PromptRefused: 400, 413, 422: the prompt's fault.
        TeacherMisconfigured: 401, 403 and other refusals of the run as a whole.
        Fault: Everything that may go better at another time or place.
    """
    if reply.status != 200:
        raise _refusal(reply, endpoint)
    try:
        answer = json.loads(reply.body)
        choice = answer["choices"][0]
        content, finish = choice["message"]["content"], choice["finish_reason"]
        model, usage = answer.get("model"), answer.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed(f"{type(error).__name__} in {reply.body[:80]!r}") from error
    if content is not None and not isinstance(content, str):
        raise _malformed(f"content is {type(content).__name__}")
    if finish is None or finish == "abort":
        raise _malformed(f"finish_reason is {finish!r}: the answer was broken off")
    # An engine asked by an alias may answer as its first name, which is the model alone.
    known = (endpoint.served_name, endpoint.teacher.model)
    if not endpoint.hosted and isinstance(model, str) and model not in known:
        raise Fault(FaultKind.WRONG_MODEL, f"answered as {model:.80}")
    return Completion(
        text=_clean(content or ""),
        finish_reason=_FINISH.get(finish, FinishReason.OTHER)
        if isinstance(finish, str)
        else FinishReason.OTHER,
        teacher=endpoint.teacher.name,
        usage=_usage(usage),
    )


_FINISH = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


def _malformed(detail: str) -> Fault:
    return Fault(FaultKind.MALFORMED, f"not a chat completion: {detail}")


def _clean(text: str) -> str:
    """JSON can spell half a surrogate pair, which no UTF-8 file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(cached),
    )


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    return int(value) if isinstance(value, float) and 0 <= value < 1e15 else 0


def _refusal(reply: Reply, endpoint: Endpoint) -> Exception:
    status, said = reply.status, error_message(reply.body)
    if status in (400, 413, 414, 422):
        return PromptRefused(f"{endpoint.teacher.name} refused the prompt ({status}): {said}")
    if status == 404:
        return Fault(FaultKind.WRONG_MODEL, f"404: {said}")
    if status == 429:
        return Fault(FaultKind.RATE_LIMITED, f"429: {said}", _retry_after(reply))
    if status == 503:
        return Fault(FaultKind.UNAVAILABLE, f"503: {said}", _retry_after(reply))
    if status in (408, 504):
        return Fault(FaultKind.TIMEOUT, f"{status}: {said}")
    if status >= 500 or status in (409, 425):
        return Fault(FaultKind.SERVER, f"{status}: {said}", _retry_after(reply))
    advice = {
        401: "set OPENAI_API_KEY to a key that it accepts",
        403: "the key in OPENAI_API_KEY may not use this model",
    }.get(status, "check that the URL is an OpenAI-compatible server's")
    return TeacherMisconfigured(f"{endpoint.url} answered {status} ({said}): {advice}")


def error_message(body: bytes) -> str:
    """What the server says went wrong, as one short line."""
    text = body[:4096].decode("utf-8", "replace")
    try:
        parsed = json.loads(body)
        error = parsed.get("error", parsed)
        text = str(error.get("message") or error.get("detail") or text)
    except (ValueError, AttributeError, RecursionError):
        pass
    return " ".join(text.split())[:200] or "no reason given"


def _retry_after(reply: Reply) -> float | None:
    """Seconds; the form with a date is rare and not read."""
    for name, value in reply.headers.items():
        if name.lower() == "retry-after":
            try:
                seconds = float(value)
            except ValueError:
                return None
            return seconds if 0 <= seconds < float("inf") else None
    return None
