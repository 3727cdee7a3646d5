"""What happens to replicas in mid-run: each is one recorded event, and no call is lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from infra.teacher.events import EventKind
from infra.teacher.models import Endpoint, Teacher
from infra.teacher.policy import LimitPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from manifests.errors import ConfigError
from tests.infra.scripted_server import FAST, Server, opened, prompt, until
from tests.infra.test_teacher_sharing import Gated


def told(pool: TeacherPool, server: Server) -> list[str]:
    return [event.kind.value for event in pool.snapshot().events if event.url == server.url]


def asked(servers: Sequence[Server]) -> list[str]:
    texts = [b["messages"][0]["content"] for server in servers for b in server.bodies]
    return sorted(text for text in texts if text != "Say OK.")


def test_a_replica_that_dies_and_comes_back_is_lost_once_and_back_once() -> None:
    async def go() -> None:
        async with Server() as one, Server() as two, await opened(one, two) as pool:
            await one.stop()
            calls = (pool.complete(prompt(f"{i}"), affinity=str(i)) for i in range(100))
            assert len(await asyncio.gather(*calls)) == 100
            await until(lambda: told(pool, one) == ["lost"])
            await one.restart()
            await until(lambda: told(pool, one) == ["lost", "back"])
            assert told(pool, two) == []
            (lost, back) = pool.snapshot().events
            assert lost.detail
            assert (lost.number, back.number) == (0, 1)
            assert lost.teacher == "m@r1"

    asyncio.run(go())


def test_a_replica_with_another_revision_is_not_used_until_it_has_ours_again() -> None:
    async def go() -> None:
        async with Server() as one, Server() as two, await opened(one, two) as pool:
            await one.stop()
            one.models = ("m", "m@r2")
            calls = (pool.complete(prompt(f"{i}"), affinity=str(i)) for i in range(50))
            await asyncio.gather(*calls)
            await one.restart()
            await until(lambda: told(pool, one) == ["lost", "wrong model"])
            assert "m@r2" in pool.snapshot().events[-1].detail
            before = len(one.bodies)
            calls = (pool.complete(prompt(f"b{i}"), affinity=str(i)) for i in range(50))
            await asyncio.gather(*calls)
            assert len(one.bodies) == before
            one.models = ("m", "m@r1")
            await until(lambda: told(pool, one) == ["lost", "wrong model", "back"])

    asyncio.run(go())


def test_who_joins_gets_calls_that_wait_and_records_of_its_own() -> None:
    async def go() -> None:
        # A limit that does not grow: else, on a busy machine, nobody waits any more at the join.
        still = replace(FAST, limit=LimitPolicy(blind_maximum=16))
        async with Gated() as one, Server() as two, await opened(one, policy=still) as pool:
            calls = [
                asyncio.create_task(pool.complete(prompt(f"{i}"), affinity=str(i)))
                for i in range(64)
            ]
            await until(lambda: pool.snapshot().queue > 0)
            pool.join(await resolve([two.url], "m"))
            await until(lambda: pool.snapshot().queue == 0 and bool(two.bodies))
            one.permits.release()
            for _ in range(64):
                one.permits.release()
            assert len(await asyncio.gather(*calls)) == 64
            assert asked([one, two]) == sorted(str(i) for i in range(64))
            assert told(pool, two) == [EventKind.JOINED.value]
            pool.join(await resolve([two.url], "m"))
            assert len(pool.snapshot().endpoints) == 2

    asyncio.run(go())


def test_who_joins_ends_an_outage() -> None:
    async def go() -> None:
        async with Server() as one, Server() as two, await opened(one) as pool:
            await one.stop()
            call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
            await until(lambda: pool.snapshot().paused_since is not None)
            pool.join(await resolve([two.url], "m"))
            assert (await call).text
            assert pool.snapshot().paused_since is None

    asyncio.run(go())


def test_a_teacher_that_has_no_part_in_the_run_cannot_join() -> None:
    async def go() -> None:
        async with Server() as one, await opened(one) as pool:
            other = Endpoint("http://other:1", "judge@r1", Teacher("judge", "r1"))
            with pytest.raises(ConfigError, match="judge@r1, and the run asks m@r1"):
                pool.join([other])

    asyncio.run(go())
