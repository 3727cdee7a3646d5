import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from enum import Enum
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import jsonschema
import openai
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, Field, TypeAdapter

from infra.simulated.answers import answer_to
from infra.simulated.chat import parse_ask
from infra.simulated.patterns import Unsupported, matching
from infra.simulated.prefix import PrefixCache
from infra.simulated.schemas import Writer
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests.errors import ConfigError, TeacherUnavailable

SOURCE = "In 1969 Neil Armstrong walked on the Moon. People watched it for 2.5 hours and were glad."
Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def shared() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(Settings(slots=32)) as teacher:
        yield teacher


@pytest.fixture
def teacher(shared: SimulatedTeacher) -> Iterator[SimulatedTeacher]:
    shared.reset()
    yield shared
    shared.faults([])
    shared.rules([])
    shared.down(False)


def question(text: str = SOURCE, **more: Any) -> dict[str, Any]:
    return {"model": "simulated", "messages": [{"role": "user", "content": text}], **more}


def send(teacher: SimulatedTeacher, method: str, path: str, body: object = None) -> Reply:
    with closing(HTTPConnection(teacher.url.removeprefix("http://"), timeout=20)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def ask(teacher: SimulatedTeacher, body: dict[str, Any]) -> Reply:
    return send(teacher, "POST", "/v1/chat/completions", body)


def said(reply: Reply) -> str:
    text: str = json.loads(reply[2])["choices"][0]["message"]["content"]
    return text


def asked_for(schema: object, **more: Any) -> dict[str, Any]:
    wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return question(response_format=wrapped, **more)


def written(schema: Any, seed: int = 0) -> Any:
    writer = Writer(rng=Random(seed), question=1, source=SOURCE, root=schema)
    return writer.value(schema, room=400)


# --- the API


def test_the_openai_client_gets_a_completion(teacher: SimulatedTeacher) -> None:
    client = openai.OpenAI(base_url=teacher.url + "/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(
        model="simulated@r1", messages=[{"role": "user", "content": SOURCE}], max_tokens=50, seed=1
    )
    assert answer.model == "simulated"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 50
    assert [m.id for m in client.models.list()] == ["simulated", "simulated@r1"]


def test_a_streamed_answer_is_the_whole_answer_in_pieces(teacher: SimulatedTeacher) -> None:
    client = openai.OpenAI(base_url=teacher.url + "/v1", api_key="none", max_retries=0)
    chunks = list(
        client.chat.completions.create(
            model="simulated",
            messages=[{"role": "user", "content": SOURCE}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == said(ask(teacher, question()))
    assert len(chunks) > 3
    assert chunks[-1].usage is not None


def test_the_same_question_has_the_same_answer_and_another_seed_another(
    teacher: SimulatedTeacher,
) -> None:
    first, again, other = (said(ask(teacher, question(seed=s))) for s in (1, 1, 2))
    assert first == again != other


def test_an_answer_usually_keeps_the_numbers_and_names_of_the_question(
    teacher: SimulatedTeacher,
) -> None:
    answers = [said(ask(teacher, question(seed=s))) for s in range(40)]
    kept = sum("1969 Neil Armstrong" in a and "2.5" in a for a in answers)
    assert kept >= 28


def test_an_answer_longer_than_max_tokens_is_cut_and_says_so(teacher: SimulatedTeacher) -> None:
    body = json.loads(ask(teacher, question(max_tokens=5))[2])
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5
    assert len(body["choices"][0]["message"]["content"]) == 20


def test_a_stop_text_ends_the_answer(teacher: SimulatedTeacher) -> None:
    whole = said(ask(teacher, question(seed=4)))
    stop = whole[30:36]
    ask_with_stop = parse_ask(
        json.dumps(question(seed=4, stop=[stop])).encode(), Settings(), is_chat=True
    )
    assert stop not in answer_to(ask_with_stop, (), Settings()).text


def test_plain_completions_are_served_too(teacher: SimulatedTeacher) -> None:
    status, _, body = send(teacher, "POST", "/v1/completions", {"prompt": SOURCE, "max_tokens": 9})
    assert status == 200
    assert json.loads(body)["choices"][0]["text"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (question(model="other"), 404, "The model `other` does not exist."),
        (question(max_tokens=9000), 400, "maximum context length is 8192"),
        (question(max_tokens=0.5), 400, "max_tokens is 0.5"),
        (question(n=2), 400, "n must be 1"),
        ({"model": "simulated", "messages": []}, 400, "at least one message"),
        (question(response_format={"type": "grammar"}), 400, "response_format"),
        (asked_for({"not": {"type": "string"}}), 400, "schema keyword 'not'"),
        ([], 400, "not a JSON object"),
    ],
)
def test_a_wrong_request_is_refused_as_vllm_refuses_it(
    teacher: SimulatedTeacher, body: Any, status: int, message: str
) -> None:
    got, _, text = ask(teacher, body)
    error = json.loads(text)["error"]
    assert (got, error["code"]) == (status, status)
    assert message in error["message"]
    assert teacher.stats()["rejected"] == 1


def test_the_metrics_have_vllms_names_and_count_what_happened(teacher: SimulatedTeacher) -> None:
    usages = [json.loads(ask(teacher, question(seed=s))[2])["usage"] for s in range(3)]
    families = text_string_to_metric_families(send(teacher, "GET", "/metrics")[2].decode())
    samples = {s.name: s.value for f in families for s in f.samples if s.labels["model_name"]}
    assert samples["vllm:generation_tokens_total"] == sum(u["completion_tokens"] for u in usages)
    assert samples["vllm:prompt_tokens_total"] == sum(u["prompt_tokens"] for u in usages)
    assert samples["vllm:prefix_cache_queries_total"] == samples["vllm:prompt_tokens_total"]
    assert samples["vllm:prefix_cache_hits_total"] == 2 * 16
    gauges = ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"]
    assert [samples[f"vllm:{name}"] for name in gauges] == [0, 0, 0]
    assert samples["vllm:num_preemptions_total"] == 0


def test_stats_tell_unique_from_repeated_prompts(teacher: SimulatedTeacher) -> None:
    for seed in (1, 2, 2, 2):
        ask(teacher, question(seed=seed))
    stats = teacher.stats()
    assert (stats["unique_prompts"], stats["total_prompts"], stats["answered"]) == (2, 4, 4)
    teacher.reset()
    assert teacher.stats()["total_prompts"] == 0


# --- HTTP


def raw(teacher: SimulatedTeacher, data: bytes) -> bytes:
    host, port = teacher.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(partial(client.recv, 65536), b""))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
        (b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /v1/chat/completions HTTP/1.1\r\nConnection: close\r\n\r\n", b"405"),
    ],
)
def test_what_is_not_a_request_we_take_is_answered_politely(
    teacher: SimulatedTeacher, data: bytes, status: bytes
) -> None:
    assert raw(teacher, data).split(b" ")[1] == status


def test_pipelined_requests_are_answered_in_order_on_one_connection(
    teacher: SimulatedTeacher,
) -> None:
    get = b"GET /%b HTTP/1.1\r\n\r\n"
    last = b"GET /health HTTP/1.0\r\n\r\n"
    answers = raw(teacher, get % b"health" + get % b"nowhere" + get % b"v1/models" + last)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [
        b"200",
        b"404",
        b"200",
        b"200",
    ]


def test_a_body_that_comes_byte_by_byte_is_read(teacher: SimulatedTeacher) -> None:
    host, port = teacher.url.removeprefix("http://").split(":")
    body = json.dumps(question(max_tokens=3)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head % len(body) + body:
            client.send(bytes([byte]))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")


# --- answers that satisfy a schema


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Step(BaseModel):
    lines: list[int] = Field(min_length=1, max_length=4)
    why: str = Field(min_length=10, max_length=60)
    colour: Colour
    next: "Step | None" = None


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float = Field(gt=0, lt=1)


class Square(BaseModel):
    kind: Literal["square"]
    side: int = Field(multiple_of=7, ge=20, le=40)


class Everything(BaseModel):
    steps: list[Step] = Field(max_length=3)
    shape: Annotated[Circle | Square, Field(discriminator="kind")]
    identifier: str = Field(pattern=r"^[a-z]{3}-\d{2,4}$")
    scores: dict[str, int]
    pair: tuple[int, str]
    tags: set[Literal["a", "b", "c"]] = Field(min_length=2)
    code: str
    maybe: int | str | None
    done: bool


@pytest.mark.parametrize("seed", range(30))
def test_an_answer_to_a_pydantic_schema_parses_with_that_model(seed: int) -> None:
    value = written(Everything.model_json_schema(), seed)
    parsed = Everything.model_validate(value)
    compile(parsed.code, "answer", "exec")


def integers() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-50, 50), st.integers(0, 30), st.integers(1, 7))
    return bounds.map(
        lambda b: (
            {"type": "integer", "minimum": b[0], "maximum": b[0] + b[1] + b[2] - 1}
            | ({"multipleOf": b[2]} if b[2] > 1 else {})
        )
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.tuples(st.integers(0, 80), st.integers(0, 80))
    sized = sizes.map(lambda s: {"type": "string", "minLength": s[0], "maxLength": s[0] + s[1]})
    patterns = st.sampled_from([r"^\d{3}-[A-F]+$", r"(yes|no)", r"[^a-z]x?$", r"^(\w+ ){2}\S$"])
    return sized | patterns.map(lambda p: {"type": "string", "pattern": p})


def composites(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["answer", "code", "line", "text", "ok", "score"])
    properties = st.dictionaries(names, inner, max_size=4)
    objects = st.tuples(properties, st.sets(names, max_size=3), st.booleans()).map(
        lambda o: (
            {"type": "object", "properties": o[0], "required": sorted(o[1] & o[0].keys())}
            | ({"additionalProperties": False} if o[2] else {})
        )
    )
    arrays = st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
        lambda a: {"type": "array", "items": a[0], "minItems": a[1], "maxItems": a[1] + a[2]}
    )
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    return objects | arrays | unions


LEAVES = (
    integers()
    | strings()
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}])
    | st.lists(st.integers() | st.text(max_size=5), min_size=1).map(lambda e: {"enum": e})
    | st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})
    | st.just({"$ref": "#/$defs/tree"})
)
TREE = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "format": "date"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "required": ["label", "children"],
    "additionalProperties": False,
}


@settings(max_examples=400, deadline=None)
@given(st.recursive(LEAVES, composites, max_leaves=8), st.integers(0, 2**32))
def test_an_answer_always_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    whole = {**schema, "$defs": {"tree": TREE}}
    try:
        value = written(whole, seed)
    except Unsupported as unsupported:
        assume("between" not in str(unsupported))  # no multiple lies in the range
        raise
    value = json.loads(json.dumps(value, allow_nan=False))
    jsonschema.Draft202012Validator(whole).validate(value)


def test_the_answers_that_the_server_gives_satisfy_their_schema(teacher: SimulatedTeacher) -> None:
    adapter = TypeAdapter(Everything)
    for seed in range(5):
        adapter.validate_json(said(ask(teacher, asked_for(adapter.json_schema(), seed=seed))))
    assert isinstance(
        json.loads(said(ask(teacher, question(response_format={"type": "json_object"})))), dict
    )


def test_samples_of_one_question_mostly_agree_on_its_short_answer(
    teacher: SimulatedTeacher,
) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer"}, "reason": {"type": "string"}},
        "required": ["answer", "reason"],
    }
    votes = [json.loads(said(ask(teacher, asked_for(schema, seed=s)))) for s in range(20)]
    counts = [[v["answer"] for v in votes].count(v["answer"]) for v in votes]
    assert max(counts) > 10
    assert len({v["reason"] for v in votes}) == 20


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"$ref": "#/$defs/missing"},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"enum": [1, 2]}},
        {"allOf": [{"minimum": 3}, {"minimum": 4}]},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_cannot_be_satisfied_is_refused_not_ignored(schema: Any) -> None:
    with pytest.raises(Unsupported):
        written(schema)


def test_text_for_a_pattern_matches_it() -> None:
    assert len({matching(r"^[A-Z][a-z]{2,5}(-\d+)?$", Random(s)) for s in range(20)}) > 10


def test_a_rule_puts_words_into_the_teachers_mouth(teacher: SimulatedTeacher) -> None:
    teacher.rules(
        [
            {"containing": "Armstrong", "answer": {"verdict": "yes"}},
            {"containing": "", "answer": "no idea", "finish_reason": "length"},
        ]
    )
    assert json.loads(said(ask(teacher, question()))) == {"verdict": "yes"}
    other = json.loads(ask(teacher, question("hello"))[2])["choices"][0]
    assert (other["message"]["content"], other["finish_reason"]) == ("no idea", "length")


# --- time


def test_the_busy_time_of_the_slots_is_exact_and_the_queue_is_fair() -> None:
    slots, number = 8, 200
    timed = Settings(slots=slots, mean_tokens=50, seconds_per_token=0.0005)

    async def load(url: str) -> list[int]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(seed: int) -> int:
                body = question(seed=seed)
                async with session.post(url + "/v1/chat/completions", json=body) as response:
                    tokens: int = (await response.json())["usage"]["completion_tokens"]
                    return tokens

            return await asyncio.gather(*(one(seed) for seed in range(number)))

    with SimulatedTeacher(timed) as teacher:
        tokens = asyncio.run(load(teacher.url))
        stats = teacher.stats()
    work = sum(tokens) * timed.seconds_per_token
    assert stats["busy_slot_seconds"] == pytest.approx(work, rel=1e-9)
    assert stats["service_seconds"] == pytest.approx(work, rel=1e-9)
    assert stats["elapsed_seconds"] >= ideal(tokens, slots) * timed.seconds_per_token * 0.999
    assert slots <= stats["max_in_flight"] <= number
    assert stats["max_queue"] > 0
    assert (stats["running"], stats["waiting"], stats["in_flight"]) == (0, 0, 0)


def ideal(tokens: list[int], slots: int) -> float:
    """A bound on the makespan whatever the order of arrival."""
    return max(sum(tokens) / slots, max(tokens))


def test_cached_prefixes_shorten_the_prefill() -> None:
    timed = Settings(slots=1, prefill_seconds_per_token=0.001)
    prefix = "All of this is the same in every question, word for word. " * 10
    with SimulatedTeacher(timed) as teacher:
        first = json.loads(ask(teacher, question(prefix + "One?"))[2])["usage"]
        second = json.loads(ask(teacher, question(prefix + "Two?"))[2])["usage"]
        stats = teacher.stats()
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert cached == 144
    computed = first["prompt_tokens"] + second["prompt_tokens"] - cached
    assert stats["busy_slot_seconds"] == pytest.approx(computed * 0.001)
    assert stats["prefix_hits"] == cached


def test_the_prefix_cache_forgets_the_least_recent_tail_first() -> None:
    cache = PrefixCache(capacity=4)
    long, other = "x" * 64 * 3 + ".", "y" * 64 * 2 + "."
    assert (cache.admit(long), cache.admit(long)) == (0, 48)
    cache.admit(other)
    assert cache.admit(long) == 32
    assert cache.admit("z" * 64) == 0
    assert cache.admit("z" * 64) == 0  # the last token is always computed


def test_a_request_that_does_not_fit_the_cache_waits() -> None:
    tight = Settings(slots=4, cache_blocks=20, mean_tokens=200, sigma=0, seconds_per_token=0.0002)
    with SimulatedTeacher(tight) as teacher, ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda s: ask(teacher, question(seed=s)), range(4)))
        stats = teacher.stats()
    assert [status for status, _, _ in replies] == [200] * 4
    assert stats["max_queue"] >= 1


def test_a_slot_is_free_at_once_when_its_client_leaves() -> None:
    slow = Settings(slots=1, mean_tokens=100, seconds_per_token=100)

    async def leave(url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=0.3)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            with pytest.raises(TimeoutError):
                await session.post(url + "/v1/chat/completions", json=question())

    with SimulatedTeacher(slow) as teacher:
        asyncio.run(leave(teacher.url))
        teacher.rules([{"containing": "", "answer": ""}])
        assert ask(teacher, question())[0] == 200  # needs the only slot
        stats = teacher.stats()
    assert (stats["cancelled"], stats["answered"], stats["running"]) == (1, 1, 0)
    assert 0.1 < stats["busy_slot_seconds"] < 20


def test_generated_tokens_grow_while_an_answer_is_written() -> None:
    slow = Settings(slots=1, mean_tokens=2000, sigma=0, seconds_per_token=0.001, time_scale=10)

    async def watch(url: str) -> list[float]:
        async with aiohttp.ClientSession() as session:
            call = asyncio.create_task(session.post(url + "/v1/chat/completions", json=question()))
            seen: list[float] = []
            while len(set(seen)) < 4:
                async with session.get(url + "/metrics") as response:
                    families = text_string_to_metric_families(await response.text())
                    samples = {s.name: s.value for f in families for s in f.samples}
                seen.append(samples["vllm:generation_tokens_total"])
                await asyncio.sleep(0.01)
            call.cancel()
        return seen

    with SimulatedTeacher(slow) as teacher:
        seen = asyncio.run(watch(teacher.url))
    assert seen == sorted(seen)


def test_a_streamed_answer_arrives_while_it_is_written() -> None:
    slow = Settings(slots=1, mean_tokens=100, sigma=0, seconds_per_token=0.005)

    async def first_piece(url: str) -> tuple[bytes, dict[str, Any]]:
        async with aiohttp.ClientSession() as session:
            body = question(stream=True)
            async with session.post(url + "/v1/chat/completions", json=body) as response:
                line = await response.content.readline()
                async with session.get(url + "/simulated/stats") as stats:
                    return line, await stats.json()

    with SimulatedTeacher(slow) as teacher:
        line, stats = asyncio.run(first_piece(teacher.url))
    assert line.startswith(b"data: {")
    assert stats["answered"] == 0


# --- faults


def outcome(teacher: SimulatedTeacher, body: dict[str, Any]) -> str:
    try:
        status, _, text = ask(teacher, body)
    except OSError as error:
        return type(error).__name__
    return str(status) if status != 200 else text.decode("utf-8", "replace")


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500, 502, 503])
def test_http_errors_come_as_scripted(teacher: SimulatedTeacher, status: int) -> None:
    teacher.faults([{"kind": f"http_{status}", "at_request": 2, "retry_after": 1.5}])
    replies = [ask(teacher, question()) for _ in range(3)]
    assert [r[0] for r in replies] == [200, status, 200]
    assert replies[1][1]["retry-after"] == "1.5"
    assert teacher.stats()["errors"] == {f"http_{status}": 1}


def test_a_reset_is_a_tcp_reset(teacher: SimulatedTeacher) -> None:
    teacher.faults([{"kind": "reset", "every": 2}])
    assert [outcome(teacher, question())[:20] for _ in range(4)].count("ConnectionResetError") == 2


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("empty_choices", lambda b: b["choices"] == []),
        ("wrong_model", lambda b: b["model"] not in ("simulated", "simulated@r1")),
        ("empty_text", lambda b: b["choices"][0]["message"]["content"] == ""),
        ("truncated", lambda b: b["choices"][0]["finish_reason"] == "length"),
        ("refusal", lambda b: b["choices"][0]["message"]["content"].startswith("I'm sorry, but")),
        ("huge", lambda b: len(b["choices"][0]["message"]["content"]) == 2_000_000),
    ],
)
def test_spoilt_answers_come_as_scripted(teacher: SimulatedTeacher, kind: str, check: Any) -> None:
    healthy = json.loads(ask(teacher, question())[2])
    teacher.faults([{"kind": kind, "megabytes": 2}])
    status, _, body = ask(teacher, question())
    assert status == 200
    assert check(json.loads(body))
    assert not check(healthy)


def test_broken_bodies_come_as_scripted(teacher: SimulatedTeacher) -> None:
    teacher.faults([{"kind": "malformed"}])
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(teacher, question())[2])
    teacher.faults([{"kind": "invalid_utf8"}])
    with pytest.raises(UnicodeDecodeError):
        ask(teacher, question())[2].decode()
    teacher.faults([{"kind": "half"}])
    with pytest.raises(Exception, match="IncompleteRead"):
        ask(teacher, question())


def test_a_hang_takes_a_slot_until_the_client_gives_up(teacher: SimulatedTeacher) -> None:
    teacher.faults([{"kind": "hang", "containing": "poison"}])

    async def give_up(url: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            body = question("poison")
            call = asyncio.create_task(session.post(url + "/v1/chat/completions", json=body))
            stats: dict[str, Any] = {"running": 0}
            while not stats["running"]:
                async with session.get(url + "/simulated/stats") as response:
                    stats = await response.json()
            call.cancel()
            return stats

    stats = asyncio.run(give_up(teacher.url))
    assert stats["answered"] == 0
    assert ask(teacher, question())[0] == 200
    assert (teacher.stats()["running"], teacher.stats()["cancelled"]) == (0, 1)


def test_slow_takes_that_many_times_as_long() -> None:
    timed = Settings(slots=1, seconds_per_token=0.00001)
    with SimulatedTeacher(timed) as teacher:
        tokens = json.loads(ask(teacher, question())[2])["usage"]["completion_tokens"]
        teacher.faults([{"kind": "slow", "times": 20}])
        ask(teacher, question())
        busy = teacher.stats()["busy_slot_seconds"]
    assert busy == pytest.approx(tokens * 0.00001 * 21)


def test_a_script_strikes_the_same_requests_every_time(teacher: SimulatedTeacher) -> None:
    script = [{"kind": "http_503", "rate": 0.3}, {"kind": "http_500", "rate": 0.3}]

    def run() -> list[int]:
        teacher.faults(script)
        return [ask(teacher, question())[0] for _ in range(60)]

    first = run()
    assert run() == first
    assert {200, 500, 503} == set(first)
    assert 8 <= first.count(503) <= 30


def test_a_fault_lasts_as_long_as_the_script_says() -> None:
    with SimulatedTeacher(Settings(time_scale=0.001)) as teacher:
        teacher.faults([{"kind": "http_503", "for_seconds": 200}])  # 0.2 s on the wall
        seen = []
        while 200 not in seen:
            seen.append(ask(teacher, question())[0])
    assert seen[0] == 503


def test_a_wrong_script_is_a_config_error_or_a_400(
    teacher: SimulatedTeacher, tmp_path: Path
) -> None:
    for script in ([{"kind": "gremlins"}], [{"kind": "reset", "every": 2, "rate": 0.5}], {}):
        assert send(teacher, "POST", "/simulated/faults", script)[0] == 400
    (tmp_path / "faults.json").write_text('[{"kind": "reset", "evry": 2}]')
    command = [sys.executable, "-m", "infra.simulated", "--faults", str(tmp_path / "faults.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "evry" in done.stderr


def test_while_down_only_the_controls_answer(teacher: SimulatedTeacher) -> None:
    with closing(HTTPConnection(teacher.url.removeprefix("http://"), timeout=20)) as connection:
        connection.request("GET", "/health")
        connection.getresponse().read()
        teacher.down(True)
        with pytest.raises(ConnectionResetError):
            connection.sock.recv(1)
    assert outcome(teacher, question()) == "ConnectionResetError"
    teacher.down(False)
    assert ask(teacher, question())[0] == 200


# --- the process


def test_a_killed_teacher_comes_back_on_the_same_port() -> None:
    with SimulatedTeacher() as teacher:
        url, pid = teacher.url, teacher.pid
        ask(teacher, question())
        teacher.kill()
        with pytest.raises(URLError):
            urlopen(url + "/health", timeout=5)
        with pytest.raises(TeacherUnavailable):
            teacher.kill()
        teacher.restart()
        assert (teacher.url, teacher.stats()["requests"]) == (url, 0)
        assert teacher.pid != pid


def test_the_teacher_ends_when_its_parent_is_killed() -> None:
    script = (
        "from infra.simulated.start import SimulatedTeacher as T\n"
        "import os, signal\n"
        "with T() as t:\n"
        "    print(t.url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    alive = True
    while alive:  # a server that stays would run into the test's time limit
        try:
            urlopen(done.stdout.strip() + "/health", timeout=5).close()
        except OSError:
            alive = False


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="slots is 0"):
        Settings(slots=0)
    with pytest.raises(ConfigError, match="sigma is -1"):
        Settings(sigma=-1)


def test_a_port_that_is_taken_is_said_in_one_line(teacher: SimulatedTeacher) -> None:
    port = int(teacher.url.rpartition(":")[2])
    with pytest.raises(TeacherUnavailable), SimulatedTeacher(Settings(port=port)):
        pass
