"""Outages pause, breakers open, slots never leak."""

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web

from infra.teacher.models import Endpoint
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from manifests.errors import (
    ConfigError,
    PromptRefused,
    TeacherMisconfigured,
    TeacherUnavailable,
)
from tests.infra.scripted_server import (
    FAST,
    Server,
    fine,
    hang,
    in_flight,
    opened,
    prompt,
    raw,
    status,
    until,
)


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
