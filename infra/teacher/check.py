"""Is this endpoint fit to be a teacher? Asks it the few things that a run depends on."""

import asyncio
import json
import time
from dataclasses import dataclass
from enum import StrEnum

from infra.teacher.gauges import read_gauges
from infra.teacher.models import UNPINNED, Endpoint
from infra.teacher.policy import PoolPolicy
from infra.teacher.resolve import resolve
from infra.teacher.transport import DirectTransport, HostedTransport, Transport, open_session
from infra.teacher.wire import Fault, read_reply, request_body
from manifests.completions import Completion, Decoding, Message, Prompt
from manifests.errors import PromptRefused

_SMALLEST_CONTEXT = 2048
_ASK_SECONDS = 180.0
_SCHEMA = (
    '{"additionalProperties":false,"properties":{"colour":{"enum":["red","green","blue"]}},'
    '"required":["colour"],"title":"Colour","type":"object"}'
)
_AT_ONCE = 8


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class _Asker:
    endpoint: Endpoint
    transport: Transport

    async def ask(self, text: str, tokens: int, schema: str | None = None) -> Completion:
        prompt = Prompt(
            messages=(Message(role="user", content=text),),
            decoding=Decoding(temperature=1.0, max_tokens=tokens),
            schema=schema,
        )
        body = request_body(prompt, self.endpoint)
        async with asyncio.timeout(_ASK_SECONDS):
            return read_reply(await self.transport.chat(self.endpoint, body), self.endpoint)


async def check_endpoint(url: str, model: str | None) -> tuple[Endpoint, list[Finding]]:
    """The endpoint and what was found.

    Raises:
        TeacherUnavailable: Nothing answers there.
        WrongModel: The model is not served, or is not the only one and not named.
        TeacherMisconfigured: It refuses every call.
    """
    policy = PoolPolicy()
    (endpoint,) = await resolve([url], model)
    findings = [_revision(endpoint), _context(endpoint)]
    async with open_session(policy) as session:
        direct = DirectTransport(session, policy)
        transport: Transport = HostedTransport(policy) if endpoint.hosted else direct
        asker = _Asker(endpoint, transport)
        try:
            findings.append(await _answers(asker))
            if findings[-1].verdict is Verdict.OK:
                findings += [await _json(asker), await _seed(asker), *await _speed(asker)]
        finally:
            await transport.close()
        async with session.get(f"{endpoint.url}/metrics") as response:
            findings.append(_metrics(await response.read() if response.status == 200 else b""))
    return endpoint, findings


def _revision(endpoint: Endpoint) -> Finding:
    if endpoint.teacher.revision != UNPINNED:
        return Finding(what="model", verdict=Verdict.OK, found=endpoint.teacher.name)
    return Finding(
        what="model",
        verdict=Verdict.WARN,
        found=f"{endpoint.teacher.model}, revision unknown",
        advice="serve it under a second name NAME@REVISION, or changed weights go unnoticed",
    )


def _context(endpoint: Endpoint) -> Finding:
    length = endpoint.max_model_len
    if length is None:
        found, verdict, advice = "not told", Verdict.WARN, "make sure that it fits your prompts"
    elif length < _SMALLEST_CONTEXT:
        found, verdict = f"{length} tokens", Verdict.WARN
        advice = f"raise --max-model-len to {_SMALLEST_CONTEXT} or more, or prompts are refused"
    else:
        found, verdict, advice = f"{length} tokens", Verdict.OK, ""
    return Finding(what="context", verdict=verdict, found=found, advice=advice)


async def _answers(asker: _Asker) -> Finding:
    try:
        got = await asker.ask("Say hello.", 8)
    except (Fault, PromptRefused, TimeoutError) as error:
        found = str(error) or f"no answer in {_ASK_SECONDS:g} s"
        advice = "look at the server's log; it needs a chat model with a chat template"
        return Finding(what="chat", verdict=Verdict.FAIL, found=found, advice=advice)
    return Finding(what="chat", verdict=Verdict.OK, found=f"answers ({got.finish_reason.value})")


async def _json(asker: _Asker) -> Finding:
    advice = "use a server that enforces response_format json_schema, such as vLLM"
    try:
        got = await asker.ask("Name a colour as JSON.", 64, _SCHEMA)
        answer = json.loads(got.text)
        if answer.get("colour") in ("red", "green", "blue") and len(answer) == 1:
            return Finding(what="JSON schema", verdict=Verdict.OK, found="enforced")
        found = f"an answer against the schema: {got.text[:60]!r}"
    except (ValueError, AttributeError):
        found = f"an answer that is not the JSON asked for: {got.text[:60]!r}"
    except (Fault, PromptRefused, TimeoutError) as error:
        found = str(error) or "no answer in time"
    return Finding(what="JSON schema", verdict=Verdict.FAIL, found=found, advice=advice)


async def _seed(asker: _Asker) -> Finding:
    try:
        texts = {(await asker.ask("Tell me about a river.", 24)).text for _ in range(2)}
    except (Fault, PromptRefused, TimeoutError) as error:
        found = str(error) or "no answer in time"
        return Finding(what="seed", verdict=Verdict.WARN, found=found)
    if len(texts) == 1:
        return Finding(what="seed", verdict=Verdict.OK, found="same seed, same answer")
    found = "same seed, other answer (replay does not need it: answers are stored)"
    return Finding(what="seed", verdict=Verdict.WARN, found=found)


async def _speed(asker: _Asker) -> list[Finding]:
    try:
        one = await _timed(asker, 1)
        many = await _timed(asker, _AT_ONCE)
    except (Fault, PromptRefused, TimeoutError) as error:
        found = str(error) or f"no answer in {_ASK_SECONDS:g} s"
        advice = "look at the server's log: it fails under little load"
        return [Finding(what="speed", verdict=Verdict.FAIL, found=found, advice=advice)]
    found = f"{one[0]:.0f} tokens/s with 1 in flight, {many[0]:.0f} with {_AT_ONCE}"
    verdict, advice = Verdict.OK, ""
    if one[0] and many[0] < 1.3 * one[0]:
        verdict, advice = Verdict.WARN, "it does not batch: check --max-num-seqs"
    rate = Finding(what="prompts", verdict=Verdict.OK, found=f"{many[1]:.0f} a minute of 48 tokens")
    return [Finding(what="speed", verdict=verdict, found=found, advice=advice), rate]


async def _timed(asker: _Asker, at_once: int) -> tuple[float, float]:
    """Tokens a second, and prompts a minute."""
    started = time.monotonic()
    asked = (asker.ask(f"Write a long story about the number {i}.", 48) for i in range(at_once))
    answers = await asyncio.gather(*asked)
    seconds = max(time.monotonic() - started, 1e-6)
    tokens = sum(answer.usage.completion_tokens for answer in answers)
    return tokens / seconds, 60 * len(answers) / seconds


def _metrics(text: bytes) -> Finding:
    if read_gauges(text) is not None:
        return Finding(what="metrics", verdict=Verdict.OK, found="vLLM's, on /metrics")
    advice = "it works, but slower: the number of calls in flight is guided by errors alone"
    return Finding(what="metrics", verdict=Verdict.WARN, found="no vLLM /metrics", advice=advice)
