"""Who shares what: prefixes a replica, roles and models the slots. Counts, never times."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from infra.simulated.settings import BLOCK_TOKENS, TOKEN_CHARACTERS, Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.line import RUN, Line, Waiter
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from manifests.completions import Decoding, Message, Prompt
from tests.infra.scripted_server import Server, fine, opened, prompt, until

RECORDS, CALLS, PREFIX_BLOCKS = 48, 8, 40
FOUR = PoolPolicy(limit=LimitPolicy(initial=4, maximum=4))


class Gated(Server):
    """Answers while it has permits; the order in which it was asked is in `bodies`."""

    def __init__(self, **more: Any) -> None:
        super().__init__(self._wait, **more)
        self.permits = asyncio.Semaphore(0)

    async def _wait(self, server: Server, body: dict[str, Any]) -> web.StreamResponse:
        await self.permits.acquire()
        return await fine(server, body)

    @property
    def texts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.bodies]


def _asked(server: Server, count: int) -> bool:
    return len(server.bodies) == count


def child(record: int, number: int) -> Prompt:
    """A prompt of which all whole blocks but the last are those of its record."""
    prefix = f"record {record:03} ".ljust(PREFIX_BLOCKS * BLOCK_TOKENS * TOKEN_CHARACTERS, "x")
    decoding = Decoding(temperature=0.8, max_tokens=64)
    return Prompt(messages=(Message(role="user", content=f"{prefix} {number}"),), decoding=decoding)


async def fan_out(teachers: Sequence[SimulatedTeacher]) -> int:
    """Tokens served from the prefix caches when the records' calls arrive mixed."""
    async with TeacherPool(await resolve([t.url for t in teachers], None), {}, FOUR) as pool:
        await asyncio.gather(
            *(
                pool.complete(child(record, number), affinity=f"record {record}")
                for number in range(CALLS)
                for record in range(RECORDS)
            )
        )
        return sum(end.cached_tokens for end in pool.snapshot().endpoints)


@pytest.mark.parametrize("slow", [False, True])
def test_calls_that_share_a_prefix_find_it_in_the_cache_also_when_a_replica_is_slow(
    slow: bool,
) -> None:
    # Room for about ten records of the sixteen that prefer a replica.
    settings = Settings(slots=4, mean_tokens=16, seconds_per_token=0.0004, cache_blocks=440)
    with ExitStack() as stack:
        teachers = [stack.enter_context(SimulatedTeacher(settings)) for _ in range(3)]
        if slow:
            teachers[0].faults([{"kind": "slow", "times": 10}])
        hits = asyncio.run(fan_out(teachers))
    ideal = RECORDS * (CALLS - 1) * PREFIX_BLOCKS * BLOCK_TOKENS
    assert hits >= 0.9 * ideal


def test_a_hot_record_spills_to_one_more_replica_and_always_the_same() -> None:
    async def go() -> None:
        policy = PoolPolicy(limit=LimitPolicy(initial=8, blind_maximum=8))
        async with (
            Gated() as a,
            Gated() as b,
            Gated() as c,
            await opened(a, b, c, policy=policy) as pool,
        ):
            seen = []
            for _ in range(2):
                calls = [
                    asyncio.create_task(pool.complete(prompt(), affinity="h")) for _ in "8" * 8
                ]
                await until(lambda: a.in_flight + b.in_flight + c.in_flight == 8)
                seen.append([server.in_flight for server in (a, b, c)])
                for server in (a, b, c):
                    for _ in range(8):
                        server.permits.release()
                await asyncio.gather(*calls)
                for server in (a, b, c):
                    server.permits = asyncio.Semaphore(0)
            # Half of eight slots is where the spill rule begins to hold.
            assert sorted(seen[0]) == [0, 4, 4]
            assert seen[1] == seen[0]

    asyncio.run(go())


def test_a_trickle_of_one_role_waits_for_one_call_of_a_flood_of_another() -> None:
    async def go() -> None:
        one = PoolPolicy(limit=LimitPolicy(initial=1, blind_maximum=1))
        async with Gated() as server, await opened(server, policy=one) as pool:
            flood = [
                asyncio.create_task(pool.complete(prompt(f"w{i}"), affinity=str(i)))
                for i in range(60)
            ]
            await until(lambda: pool.snapshot().queue == 59 and server.in_flight == 1)
            for i in range(5):
                asked, ahead = prompt(f"c{i}", role="critic"), len(server.bodies)
                critic = asyncio.create_task(pool.complete(asked, affinity=f"c{i}"))
                await asyncio.sleep(0)  # It stands in line now, behind some fifty.
                assert pool.snapshot().queue == 60 - 2 * i
                for _ in range(3):
                    server.permits.release()
                await asyncio.wait_for(critic, 20.0)
                assert server.texts.index(f"c{i}") - ahead <= 1
                await until(partial(_asked, server, ahead + 3))
            for call in flood:
                call.cancel()
            await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(go())


def test_a_flood_at_one_model_takes_no_slot_of_another_on_the_same_server() -> None:
    async def go() -> None:
        two = PoolPolicy(limit=LimitPolicy(initial=2, blind_maximum=2))
        async with Gated(models=("m@r1", "judge@r1")) as server:
            ends = [*await resolve([server.url], "m"), *await resolve([server.url], "judge")]
            async with TeacherPool(ends, {"writer": "m", "critic": "judge"}, two) as pool:
                flood = [
                    asyncio.create_task(pool.complete(prompt(f"w{i}"), affinity=str(i)))
                    for i in range(40)
                ]
                await until(lambda: pool.snapshot().queue == 38 and server.in_flight == 2)
                critic = asyncio.create_task(
                    pool.complete(prompt("c", role="critic"), affinity="0")
                )
                await until(lambda: "c" in server.texts)
                assert server.texts.index("c") == 2  # No permit was given: nothing had to end.
                for call in [*flood, critic]:
                    call.cancel()
                await asyncio.gather(*flood, critic, return_exceptions=True)

    asyncio.run(go())


def test_a_line_goes_by_role_then_by_record_and_no_record_holds_it_for_ever() -> None:
    async def go() -> None:
        loop, line = asyncio.get_running_loop(), Line()

        def wait(role: str, affinity: int, front: bool = False) -> Waiter:
            waiter = Waiter(
                order=0, role=role, affinity=affinity, avoid=None, slot=loop.create_future()
            )
            line.add(waiter, front)
            return waiter

        for _ in range(RUN + 8):
            wait("writer", 1)
            wait("writer", 2)
        order = [waiter.affinity for waiter in iter(line.pop, None)]
        assert order == [1] * RUN + [2] * RUN + [1] * 8 + [2] * 8
        cancelled = wait("writer", 1)
        first, critic, again = wait("writer", 2), wait("critic", 1), wait("writer", 3, front=True)
        cancelled.slot.cancel()
        assert list(iter(line.pop, None)) == [again, critic, first]
        assert len(line) == 0
        assert not line.remove(first)

    asyncio.run(go())
