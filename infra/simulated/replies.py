"""Answers on their way out: whole, streamed in time, or spoilt as a fault demands."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

from infra.simulated.chat import Answer, Ask, completion_body, header, usage
from infra.simulated.engine import Job
from infra.simulated.faults import Fault, FaultKind
from infra.simulated.http import Exchange
from infra.simulated.settings import TOKEN_CHARACTERS, tokens_of

_REFUSAL = "I'm sorry, but I can't help with that."
_PIECES = 8
"""Chunks of a streamed answer."""
_OTHER_MODEL = "another-model"
_WHOLE_BODY = {
    FaultKind.HALF,
    FaultKind.MALFORMED,
    FaultKind.INVALID_UTF8,
    FaultKind.EMPTY_CHOICES,
}


def spoilt(answer: Answer, fault: Fault | None) -> Answer:
    """The answer that the teacher gives under a fault of its text."""
    match fault.kind if fault else None:
        case FaultKind.EMPTY_TEXT:
            return Answer(text="", finish_reason="stop", tokens=0)
        case FaultKind.REFUSAL:
            return Answer(text=_REFUSAL, finish_reason="stop", tokens=tokens_of(_REFUSAL))
        case FaultKind.TRUNCATED:
            text = answer.text[: len(answer.text) // 2]
            return Answer(text=text, finish_reason="length", tokens=tokens_of(text))
        case FaultKind.HUGE if fault is not None:
            size = int(fault.megabytes * 1e6)
            text = (answer.text or "a") * (size // max(len(answer.text), 1) + 1)
            return replace(answer, text=text[:size], tokens=size // TOKEN_CHARACTERS)
    return answer


def reply_whole(
    exchange: Exchange, ask: Ask, answer: Answer, job: Job, model: str, fault: Fault | None
) -> None:
    """Send the answer in one body."""
    kind = fault.kind if fault else None
    shown = _OTHER_MODEL if kind is FaultKind.WRONG_MODEL else model
    data = completion_body(ask, answer, job.cached_tokens, shown)
    if kind is FaultKind.EMPTY_CHOICES:
        data["choices"] = []
    body = json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")
    if kind is FaultKind.MALFORMED:
        body = body[: len(body) // 2]
    if kind is FaultKind.INVALID_UTF8:
        body = body.replace(b'"role"', b'"\xff\xfe\xc3"')
    exchange.reply(200, body, send=len(body) // 2 if kind is FaultKind.HALF else None)


def streams(ask: Ask, fault: Fault | None) -> bool:
    """Whether the answer goes out in chunks; faults of the body need a whole one."""
    return ask.stream and (fault is None or fault.kind not in _WHOLE_BODY)


class Stream:
    """Server-sent events, spread over the time that the engine takes to write the answer."""

    def __init__(
        self, exchange: Exchange, ask: Ask, answer: Answer, model: str, fault: Fault | None
    ) -> None:
        self._exchange = exchange
        self._ask = ask
        self._answer = answer
        wrong = fault is not None and fault.kind is FaultKind.WRONG_MODEL
        kind = "chat.completion.chunk" if ask.is_chat else "text_completion"
        self._header = header(ask, _OTHER_MODEL if wrong else model, kind)
        size = max(1, -(-len(answer.text) // _PIECES))
        self._pieces = [answer.text[i : i + size] for i in range(0, len(answer.text), size)]
        self._timers: list[asyncio.TimerHandle] = []

    def start(self, job: Job) -> None:
        """The job has a slot: headers now, each piece when its tokens are written."""
        self._exchange.begin("text/event-stream")
        now = time.monotonic()
        if job.hangs or job.ends <= now:
            return
        step = (job.ends - job.first_token) / (len(self._pieces) + 1)
        loop = asyncio.get_running_loop()
        for number in range(1, len(self._pieces) + 1):
            wait = max(0.0, job.first_token + number * step - now)
            self._timers.append(loop.call_later(wait, self._send_piece))

    def finish(self, job: Job) -> None:
        """The job is done: what is left, the end and, if asked for, the usage."""
        self.stop()
        while self._pieces:
            self._send_piece()
        self._send_choice("", self._answer.finish_reason)
        if self._ask.wants_usage:
            tokens = usage(self._ask, self._answer, job.cached_tokens)
            self._send({**self._header, "choices": [], "usage": tokens})
        self._exchange.send(b"data: [DONE]\n\n")
        self._exchange.end()

    def stop(self) -> None:
        """Send nothing more by itself."""
        for timer in self._timers:
            timer.cancel()

    def _send_piece(self) -> None:
        self._send_choice(self._pieces.pop(0), None)

    def _send_choice(self, text: str, finish_reason: str | None) -> None:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
        if self._ask.is_chat:
            choice["delta"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        self._send({**self._header, "choices": [choice]})

    def _send(self, event: dict[str, Any]) -> None:
        text = json.dumps(event, ensure_ascii=False)
        self._exchange.send(b"data: " + text.encode("utf-8", "backslashreplace") + b"\n\n")
