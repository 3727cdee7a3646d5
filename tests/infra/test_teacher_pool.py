"""The pool against small servers on 127.0.0.1 that misbehave in one exact way each."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from infra.teacher.models import Endpoint
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from manifests.completions import Decoding, FinishReason, Message, Prompt, sampling_seed
from manifests.errors import (
    ConfigError,
    PromptRefused,
    TeacherMisconfigured,
    TeacherUnavailable,
)

FAST = PoolPolicy(
    backoff_base_seconds=0.002,
    backoff_cap_seconds=0.01,
    probe_seconds=0.03,
    probe_cap_seconds=0.1,
    scrape_seconds=0.02,
    canary_seconds=0.2,
)
Script = Callable[["Server", dict[str, Any]], Awaitable[web.StreamResponse]]


def answer(body: dict[str, Any], text: str = "fine", finish: str | None = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {
        "model": body["model"],
        "choices": [{**choice, "finish_reason": finish}],
        "usage": usage,
    }


async def fine(server: "Server", body: dict[str, Any]) -> web.StreamResponse:
    return web.json_response(answer(body))


def status(code: int, **headers: str) -> Script:
    async def script(server: Server, body: dict[str, Any]) -> web.StreamResponse:
        error = {"error": {"message": f"scripted {code}"}}
        return web.json_response(error, status=code, headers=headers)

    return script


def raw(data: bytes) -> Script:
    async def script(server: Server, body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=data, content_type="application/json")

    return script


async def hang(server: "Server", body: dict[str, Any]) -> web.StreamResponse:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        server.aborted += 1
        raise
    return web.Response()


class Server:
    """An OpenAI-compatible server whose chat is a script."""

    def __init__(self, script: Script = fine, *, models: tuple[str, ...] = ("m", "m@r1")) -> None:
        self.script, self.models = script, models
        self.metrics: Callable[[], str] | None = None
        self.hosted = False
        self.keys: list[str | None] = []
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.peak = self.aborted = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Server":
        await self.start(0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def restart(self) -> None:
        await self.start(int(self.url.rpartition(":")[2]))

    async def _models(self, request: web.Request) -> web.Response:
        engine = {"owned_by": "vllm", "max_model_len": 512}
        other = {"owned_by": "someone"}
        rows = [{"id": m, **(other if self.hosted else engine)} for m in self.models]
        return web.json_response({"object": "list", "data": rows})

    async def _metrics(self, request: web.Request) -> web.Response:
        if self.metrics is None:
            raise web.HTTPNotFound
        return web.Response(text=self.metrics())

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self.script(self, body)
        finally:
            self.in_flight -= 1


def prompt(text: str = "hello", **changes: Any) -> Prompt:
    decoding = Decoding(temperature=0.7, max_tokens=32)
    return Prompt(messages=(Message(role="user", content=text),), decoding=decoding, **changes)


async def opened(*servers: Server, policy: PoolPolicy = FAST) -> TeacherPool:
    return TeacherPool(await resolve([s.url for s in servers], "m"), {}, policy)


def in_flight(pool: TeacherPool) -> int:
    return sum(e.in_flight for e in pool.snapshot().endpoints)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


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


def test_while_everything_is_down_calls_wait_and_few_are_asked_twice() -> None:
    async def go() -> None:
        async with Server() as server, await opened(server) as pool:
            await server.stop()
            calls = [
                asyncio.create_task(pool.complete(prompt(f"p{i}"), affinity=str(i)))
                for i in range(200)
            ]
            await until(lambda: pool.snapshot().paused_since is not None)
            await asyncio.sleep(0.3)
            assert not any(call.done() for call in calls)
            errors_in_outage = pool.snapshot().endpoints[0].errors["connection"]
            assert errors_in_outage < FAST.limit.initial + FAST.breaker_minimum
            await server.restart()
            done = await asyncio.gather(*calls)
            assert len(done) == 200
            assert pool.snapshot().paused_since is None
            texts = [b["messages"][0]["content"] for b in server.bodies]
            assert sorted(t for t in texts if t != "Say OK.") == sorted(f"p{i}" for i in range(200))

    asyncio.run(go())


def test_an_outage_longer_than_the_policy_allows_gives_up_with_a_reason() -> None:
    async def go() -> None:
        policy = PoolPolicy(
            backoff_base_seconds=0.002,
            backoff_cap_seconds=0.01,
            probe_seconds=0.02,
            give_up_after_seconds=0.1,
        )
        async with Server(status(502)) as server, await opened(server, policy=policy) as pool:
            with pytest.raises(TeacherUnavailable, match=f"no answer from m@r1.*{server.url}"):
                await pool.complete(prompt(), affinity="a")
            with pytest.raises(TeacherUnavailable):
                await pool.complete(prompt(), affinity="a")

    asyncio.run(go())


def test_retries_over_budget_pause_the_run_and_a_canary_resumes_it() -> None:
    async def go() -> None:
        rng = random.Random(5)

        async def flaky(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            broken = rng.random() < 0.25 and body["max_tokens"] == 32
            return await (status(500) if broken else fine)(server, body)

        policy = PoolPolicy(
            retry_floor=1,
            backoff_base_seconds=0.001,
            probe_seconds=0.01,
            probe_cap_seconds=0.02,
        )
        async with Server(flaky) as server, await opened(server, policy=policy) as pool:
            calls = (pool.complete(prompt(f"{i}"), affinity=str(i)) for i in range(150))
            assert len(await asyncio.gather(*calls)) == 150
            assert pool.snapshot().canaries >= 1
            assert pool.snapshot().paused_since is None

    asyncio.run(go())


def test_a_prompt_that_breaks_servers_again_and_again_is_refused() -> None:
    async def go() -> None:
        async def poison(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            bad = body["messages"][0]["content"] == "poison"
            return await (status(500) if bad else fine)(server, body)

        async with Server(poison) as server, await opened(server) as pool:
            bad = asyncio.create_task(pool.complete(prompt("poison"), affinity="p"))
            while not bad.done():
                await pool.complete(prompt(), affinity="a")
            with pytest.raises(PromptRefused, match="8 attempts failed, the last with server: 500"):
                await bad

    asyncio.run(go())


def test_a_replica_that_makes_no_tokens_is_dead_though_it_answers_and_its_calls_move() -> None:
    async def go() -> None:
        async with Server(hang) as stuck, Server() as good:
            stuck.metrics = lambda: (
                'vllm:num_requests_running{engine="0"} 3\n'
                'vllm:num_requests_waiting{engine="0"} 0\n'
                'vllm:generation_tokens_total{engine="0"} 41\n'
            )
            policy = PoolPolicy(
                stall_seconds=0.2,
                scrape_seconds=0.02,
                backoff_base_seconds=0.01,
                canary_seconds=0.1,
            )
            async with await opened(stuck, good, policy=policy) as pool:
                calls = (pool.complete(prompt(), affinity=str(i)) for i in range(16))
                done = await asyncio.gather(*calls)
                assert len(done) == 16
                assert stuck.bodies
                dead = next(e for e in pool.snapshot().endpoints if e.url == stuck.url)
                assert dead.state in ("dead", "half-open")
                assert dead.errors["stall"] >= 1
                await until(lambda: stuck.aborted >= dead.errors["stall"])

    asyncio.run(go())


def test_a_call_past_its_deadline_is_cut_and_tried_elsewhere() -> None:
    async def go() -> None:
        policy = PoolPolicy(
            deadline_floor_seconds=0.1,
            unknown_seconds_per_token=0.0001,
            backoff_base_seconds=0.001,
        )
        async with (
            Server(hang) as slow,
            Server() as good,
            await opened(slow, good, policy=policy) as pool,
        ):
            while not slow.bodies:
                got = await pool.complete(prompt(), affinity=str(random.random()))
                assert got.text == "fine"
            by_url = {e.url: e for e in pool.snapshot().endpoints}
            assert by_url[slow.url].errors["timeout"] == len(slow.bodies) >= 1

    asyncio.run(go())


def test_a_replica_that_comes_back_with_another_revision_is_not_used() -> None:
    async def go() -> None:
        async with Server() as a, Server() as b, await opened(a, b) as pool:
            await a.stop()
            a.models, a.script = ("m", "m@r2"), fine
            await asyncio.gather(*(pool.complete(prompt(), affinity=str(i)) for i in range(60)))
            await a.restart()
            a.bodies.clear()
            lost = next(e for e in pool.snapshot().endpoints if e.url == a.url)
            assert lost.state != "ok"

            def seen() -> bool:
                one = next(e for e in pool.snapshot().endpoints if e.url == a.url)
                return "does not serve m@r1" in one.detail

            await until(seen)
            await asyncio.gather(*(pool.complete(prompt(), affinity=str(i)) for i in range(20)))
            assert a.bodies == []

    asyncio.run(go())


def test_when_no_endpoint_serves_the_model_any_more_the_run_stops() -> None:
    async def go() -> None:
        async def gone(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            server.models = ("other",)
            return await status(404)(server, body)

        async with Server(gone) as server, await opened(server) as pool:
            with pytest.raises(TeacherMisconfigured, match="does not serve m@r1: it serves other"):
                await pool.complete(prompt(), affinity="a")

    asyncio.run(go())


def test_no_slot_leaks_when_calls_are_cancelled_at_any_moment() -> None:
    async def go() -> None:
        rng = random.Random(11)

        async def mixed(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            await asyncio.sleep(rng.random() * 0.01)
            kind = rng.choice([fine, fine, fine, fine, status(500), status(429), raw(b"{")])
            return await kind(server, body)

        policy = PoolPolicy(
            limit=LimitPolicy(initial=4, blind_maximum=8),
            backoff_base_seconds=0.002,
            probe_seconds=0.005,
            probe_cap_seconds=0.01,
            scrape_seconds=0.01,
        )
        async with (
            Server(mixed) as a,
            Server(mixed) as b,
            await opened(a, b, policy=policy) as pool,
        ):
            calls = [
                asyncio.create_task(pool.complete(prompt(f"{i}"), affinity=str(i)))
                for i in range(300)
            ]
            for call in rng.sample(calls, 150):
                await asyncio.sleep(rng.random() * 0.004)
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            cancelled = sum(isinstance(one, asyncio.CancelledError) for one in done)
            assert 0 < cancelled <= 150
            shot = pool.snapshot()
            assert [e.in_flight for e in shot.endpoints] == [0, 0]
            assert shot.queue == 0
            assert (await pool.complete(prompt(), affinity="z")).text == "fine"

    asyncio.run(go())


def test_a_cancelled_call_closes_its_connection_so_the_engine_aborts() -> None:
    async def go() -> None:
        async with Server(hang) as server, await opened(server) as pool:
            call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
            await until(lambda: server.in_flight == 1)
            call.cancel()
            await until(lambda: server.aborted == 1)
            assert in_flight(pool) == 0

    asyncio.run(go())


def test_draining_lets_calls_in_flight_end_and_fails_those_that_wait() -> None:
    async def go() -> None:
        gate = asyncio.Event()

        async def gated(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            await gate.wait()
            return await fine(server, body)

        policy = PoolPolicy(limit=LimitPolicy(initial=2, blind_maximum=2))
        async with Server(gated) as server, await opened(server, policy=policy) as pool:
            calls = [asyncio.create_task(pool.complete(prompt(), affinity="a")) for _ in range(5)]
            await until(lambda: server.in_flight == 2)
            drained = asyncio.create_task(pool.drain())
            await until(lambda: sum(c.done() for c in calls) == 3)
            assert not drained.done()
            gate.set()
            await drained
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(one, TeacherUnavailable) for one in done) == 3
            assert len(server.bodies) == 2

    asyncio.run(go())


def test_stopping_does_not_wait_for_calls_in_flight() -> None:
    async def go() -> None:
        policy = PoolPolicy(limit=LimitPolicy(initial=16, blind_maximum=16))
        async with Server(hang) as server:
            async with await opened(server, policy=policy) as pool:
                calls = [
                    asyncio.create_task(pool.complete(prompt(), affinity="a")) for _ in range(30)
                ]
                await until(lambda: server.in_flight == 16)
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, TeacherUnavailable) for one in done)
            assert len(server.bodies) == 16

    asyncio.run(go())


def test_the_limit_grows_with_the_engine_until_it_queues_and_then_keeps_a_small_queue() -> None:
    async def go() -> None:
        slots = 48
        engine = asyncio.Semaphore(slots)
        running = made = 0

        async def serve(server: Server, body: dict[str, Any]) -> web.StreamResponse:
            nonlocal running, made
            async with engine:
                running += 1
                await asyncio.sleep(0.02)
                running -= 1
                made += 3
            return await fine(server, body)

        async with Server(serve) as server:
            queued: list[int] = []

            def metrics() -> str:
                queued.append(server.in_flight - running)
                return (
                    f"vllm:num_requests_running {running}\n"
                    f"vllm:num_requests_waiting {queued[-1]}\n"
                    f"vllm:generation_tokens_total {made}\n"
                )

            server.metrics = metrics
            async with await opened(server) as pool:
                calls = [
                    asyncio.create_task(pool.complete(prompt(f"{i}"), affinity=str(i)))
                    for i in range(4000)
                ]
                await until(lambda: max(queued, default=0) > 0)
                await until(lambda: slots < pool.snapshot().endpoints[0].limit <= slots * 1.5)
                for call in calls:
                    call.cancel()

    asyncio.run(go())


def test_roles_may_be_played_by_different_models() -> None:
    async def go() -> None:
        async with Server() as small, Server(models=("big",)) as large:
            ends: list[Endpoint] = [
                *await resolve([small.url], "m"),
                *await resolve([large.url + "/v1/"], None),
            ]
            with pytest.raises(ConfigError, match="which of m@r1, big@unpinned is the writer"):
                TeacherPool(ends, {})
            with pytest.raises(ConfigError, match="role 'critic' wants teacher 'huge'"):
                TeacherPool(ends, {"writer": "m", "critic": "huge"})
            async with TeacherPool(ends, {"writer": "m@r1", "critic": "big"}, FAST) as pool:
                assert pool.teacher_of("critic") == "big@unpinned"
                got = await pool.complete(prompt(role="critic"), affinity="a")
                assert got.teacher == "big@unpinned"
                got = await pool.complete(prompt(role="editor"), affinity="a")
                assert got.teacher == "m@r1"

    asyncio.run(go())


def test_a_hosted_service_is_asked_through_the_openai_client_with_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    async def go() -> None:
        async with Server() as server:
            server.hosted = True
            async with await opened(server) as pool:
                got = await pool.complete(prompt(), affinity="a")
                assert got.text == "fine"
                assert server.keys == ["Bearer secret"]
                server.script = status(400)
                with pytest.raises(PromptRefused, match="scripted 400"):
                    await pool.complete(prompt(), affinity="a")
                server.script = status(401)
                with pytest.raises(TeacherMisconfigured, match="set OPENAI_API_KEY"):
                    await pool.complete(prompt(), affinity="a")
                server.script = raw(b"{")
                with pytest.raises(PromptRefused, match="3 attempts failed"):
                    await pool.complete(prompt(), affinity="a")
                server.bodies.clear()
                server.script = status(500)
                call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
                await until(lambda: len(server.bodies) >= 2)
                server.script = fine
                assert (await call).text == "fine"
                server.script = hang
                call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
                await until(lambda: server.in_flight == 1)
                call.cancel()
                await until(lambda: server.aborted == 1)
                assert in_flight(pool) == 0

    asyncio.run(go())
