"""The pool against small servers on 127.0.0.1 that misbehave in one exact way each."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from infra.teacher.policy import LimitPolicy, PoolPolicy
from manifests.completions import Decoding, FinishReason, Message, Prompt, sampling_seed
from manifests.errors import (
    PromptRefused,
    TeacherMisconfigured,
)
from tests.infra.scripted_server import (
    Server,
    fine,
    in_flight,
    opened,
    prompt,
    raw,
    status,
    until,
)


def test_a_call_carries_the_decoding_the_schema_and_the_seed_that_follows_from_its_key() -> None:
    async def go() -> None:
        schema = '{"title": "Note", "type": "object"}'
        asked = Prompt(
            messages=(Message(role="system", content="s"), Message(role="user", content="u")),
            decoding=Decoding(temperature=0.5, top_p=0.9, max_tokens=11, stop=("END",)),
            schema=schema,
        )
        async with Server() as server, await opened(server) as pool:
            got = await pool.complete(asked, affinity="a")
            assert got.text == "fine"
            assert got.finish_reason is FinishReason.STOP
            assert got.teacher == pool.teacher_of("critic") == "m@r1"
            assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (7, 3)
            assert server.bodies == [
                {
                    "model": "m@r1",
                    "messages": [
                        {"role": "system", "content": "s"},
                        {"role": "user", "content": "u"},
                    ],
                    "temperature": 0.5,
                    "top_p": 0.9,
                    "max_tokens": 11,
                    "stop": ["END"],
                    "seed": sampling_seed(asked.key("m@r1")),
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {
                            "name": "Note",
                            "schema": json.loads(schema),
                            "strict": True,
                        },
                    },
                }
            ]

    asyncio.run(go())


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_prompt_that_the_server_refuses_is_refused_at_once(code: int) -> None:
    async def go() -> None:
        async with Server(status(code)) as server, await opened(server) as pool:
            with pytest.raises(PromptRefused, match=f"scripted {code}"):
                await pool.complete(prompt(), affinity="a")
            assert len(server.bodies) == 1
            assert in_flight(pool) == 0

    asyncio.run(go())


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_run_that_the_server_refuses_stops_and_says_what_to_fix(code: int) -> None:
    async def go() -> None:
        async with Server(status(code)) as server, await opened(server) as pool:
            with pytest.raises(TeacherMisconfigured, match=server.url):
                await pool.complete(prompt(), affinity="a")
            assert in_flight(pool) == 0

    asyncio.run(go())


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_failing_server_is_left_for_another(code: int) -> None:
    async def go() -> None:
        async with Server(status(code)) as bad, Server() as good, await opened(bad, good) as pool:
            texts = [(await pool.complete(prompt(), affinity=str(i))).text for i in range(40)]
            assert texts == ["fine"] * 40
            assert len(bad.bodies) >= 1
            by_url = {e.url: e for e in pool.snapshot().endpoints}
            assert by_url[good.url].calls == 40
            assert sum(by_url[bad.url].errors.values()) == len(
                [b for b in bad.bodies if b["max_tokens"] == 32]
            )

    asyncio.run(go())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"choices": [{"message"',
        b'{"choices": []}',
        b'{"choices": [{"message": {}, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": "x"}, "finish_reason": null}]}',
        b'{"choices": [{"message": {"content": "\xff\xfe"}, "finish_reason": "stop"}]}',
        b"[" * 100_000,
        b"<html>busy</html>",
    ],
)
def test_a_malformed_answer_is_tried_again_and_refused_after_three(data: bytes) -> None:
    async def go() -> None:
        async with Server(raw(data)) as server, await opened(server) as pool:
            with pytest.raises(PromptRefused, match="3 attempts failed"):
                await pool.complete(prompt(), affinity="a")
            assert len(server.bodies) == 3
            assert pool.snapshot().endpoints[0].errors == {"malformed": 3}

    asyncio.run(go())


def test_an_answer_larger_than_the_bound_is_not_read_to_its_end() -> None:
    async def go() -> None:
        sent = 0

        async def endless(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            nonlocal sent
            response = web.StreamResponse()
            await response.prepare(server_request.pop())
            for _ in range(1000):
                await response.write(b" " * 65536)
                sent += 65536
            return response

        server_request: list[web.Request] = []
        server = Server(endless)
        chat = server._chat

        async def remember(request: web.Request) -> web.StreamResponse:
            server_request.append(request)
            return await chat(request)

        server._chat = remember  # type: ignore[method-assign]
        policy = PoolPolicy(max_answer_bytes=100_000, max_malformed=1)
        async with server, await opened(server, policy=policy) as pool:
            with pytest.raises(PromptRefused, match="more than 100000 bytes"):
                await pool.complete(prompt(), affinity="a")
        assert sent < 60_000_000

    asyncio.run(go())


@pytest.mark.parametrize("usage", ['{"prompt_tokens": NaN, "completion_tokens": "9"}', "null", "5"])
def test_a_strange_usage_does_not_spoil_an_answer(usage: str) -> None:
    async def go() -> None:
        data = (
            '{"choices": [{"message": {"content": "ok \\ud800"}, "finish_reason": "length"}],'
            f'"usage": {usage}}}'
        )
        async with Server(raw(data.encode())) as server, await opened(server) as pool:
            got = await pool.complete(prompt(), affinity="a")
            assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (0, 0)
            assert got.finish_reason is FinishReason.LENGTH
            assert got.text == "ok \N{REPLACEMENT CHARACTER}"

    asyncio.run(go())


def test_a_rate_limit_with_retry_after_is_waited_for_without_holding_the_slot() -> None:
    async def go() -> None:
        times: list[float] = []

        async def once(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 1:
                return await status(429, **{"Retry-After": "0.2"})(server, body)
            return await fine(server, body)

        async with Server(once) as server, await opened(server) as pool:
            call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
            await until(lambda: bool(pool.snapshot().endpoints[0].errors))
            assert in_flight(pool) == 0
            assert (await call).text == "fine"
            assert times[1] - times[0] >= 0.2

    asyncio.run(go())


def test_calls_of_one_record_go_to_one_replica_and_records_spread() -> None:
    async def go() -> None:
        async with Server() as a, Server() as b, Server() as c, await opened(a, b, c) as pool:
            for record in range(30):
                before = [len(s.bodies) for s in (a, b, c)]
                for _ in range(3):
                    await pool.complete(prompt(), affinity=f"record {record}")
                gained = [len(s.bodies) - n for s, n in zip((a, b, c), before, strict=True)]
                assert sorted(gained) == [0, 0, 3]
            assert min(len(s.bodies) for s in (a, b, c)) >= 9

    asyncio.run(go())


def test_a_full_replica_spills_to_one_with_room() -> None:
    async def go() -> None:
        gate = asyncio.Event()

        async def gated(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            await gate.wait()
            return await fine(server, body)

        policy = PoolPolicy(limit=LimitPolicy(initial=2))
        async with (
            Server(gated) as a,
            Server(gated) as b,
            await opened(a, b, policy=policy) as pool,
        ):
            calls = [asyncio.create_task(pool.complete(prompt(), affinity="one")) for _ in range(5)]
            await until(lambda: a.in_flight + b.in_flight == 4)
            assert (a.in_flight, b.in_flight) == (2, 2)
            assert pool.snapshot().queue == 1
            gate.set()
            await asyncio.gather(*calls)

    asyncio.run(go())
