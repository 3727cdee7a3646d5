"""Every attempt holds a lease on a slot, and every lease comes back, whatever ends the call.

That none is left is asserted after each test of this folder (conftest); here are the ways to end.
"""

import asyncio

import pytest

from infra.teacher.events import EventLog
from infra.teacher.group import Group
from infra.teacher.idle import IdleSlots
from infra.teacher.lease import Leases
from infra.teacher.models import Endpoint, Teacher
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.replica import Replica
from manifests.errors import PromptRefused, TeacherUnavailable
from tests.infra.leaks import leaks
from tests.infra.scripted_server import (
    Script,
    Server,
    hang,
    opened,
    prompt,
    raw,
    status,
    until,
)

TWO = PoolPolicy(
    limit=LimitPolicy(initial=2, blind_maximum=2),
    backoff_base_seconds=0.002,
    probe_seconds=0.02,
    probe_cap_seconds=0.05,
    max_attempts=2,
    deadline_floor_seconds=0.05,
    unknown_seconds_per_token=0.0001,
)


def test_a_lease_cannot_come_back_twice() -> None:
    leases = Leases()
    first, second = leases.grant(1, "writer", 5.0), leases.grant(2, "critic", 6.0)
    leases.take_back(first)
    with pytest.raises(KeyError):
        leases.take_back(first)
    assert (len(leases), leases.granted, leases.returned, leases.oldest()) == (1, 2, 1, 6.0)
    leases.take_back(second)
    assert leases.oldest() is None


def test_the_snapshot_shows_leases_while_they_are_held_and_who_waits() -> None:
    async def go() -> None:
        policy = PoolPolicy(limit=LimitPolicy(initial=2, blind_maximum=2))
        async with Server(hang) as server, await opened(server, policy=policy) as pool:
            calls = [asyncio.create_task(pool.complete(prompt(), affinity="a")) for _ in range(3)]
            await until(lambda: server.in_flight == 2)
            end = pool.snapshot().endpoints[0]
            assert (end.in_flight, end.leases_granted, end.leases_returned) == (2, 2, 0)
            assert end.oldest_lease_seconds is not None
            held = f"{server.url}: 2 leases of 2 not returned"
            assert leaks(pool) == ["1 calls wait", held]
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert leaks(pool) == []

    asyncio.run(go())


@pytest.mark.parametrize(
    "script", [hang, status(500), status(429), status(503), status(400), raw(b"{")]
)
def test_leases_come_back_from_calls_that_fail_and_from_a_pool_that_is_shut_amid_them(
    script: Script,
) -> None:
    async def go() -> None:
        async with Server(script) as bad:
            async with await opened(bad, policy=TWO) as pool:
                calls = [
                    asyncio.create_task(pool.complete(prompt(f"{i}"), affinity=str(i)))
                    for i in range(12)
                ]
                await until(lambda: pool.snapshot().endpoints[0].leases_returned >= 2)
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in done} <= {PromptRefused, TeacherUnavailable}
            assert pool.snapshot().endpoints[0].leases_granted >= 2

    asyncio.run(go())


def test_a_cancel_at_the_moment_the_slot_is_given_loses_no_slot() -> None:
    async def go() -> None:
        one = PoolPolicy(limit=LimitPolicy(initial=1))
        end = Endpoint("http://127.0.0.1:1", "m@r1", Teacher("m", "r1"))
        replica = Replica(end, one)
        group = Group("m@r1", [replica], one, EventLog(), IdleSlots())
        _, lease = await group.acquire("a", "writer", None)
        second = asyncio.create_task(group.acquire("a", "writer", None))
        third = asyncio.create_task(group.acquire("a", "writer", None))
        await asyncio.sleep(0)
        group.release(replica, lease)
        assert replica.leases.granted == 2  # The second has its slot and does not know it yet.
        second.cancel()
        await asyncio.wait_for(third, 20.0)
        assert (replica.in_flight, replica.leases.granted, second.cancelled()) == (1, 3, True)
        group.release(*third.result())
        assert replica.in_flight == 0

    asyncio.run(go())
