"""Every empty slot-second has one reason, on a clock that the tests move by hand."""

import asyncio
import time
from random import Random

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.idle import IdleSlots, IdleTime, Place, Reason
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from tests.infra.scripted_server import Server, hang, in_flight, opened, prompt, status, until


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reasons(told: IdleTime) -> dict[str, float]:
    return {reason: seconds for reason, seconds in told.idle_seconds.items() if seconds}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({}, {"no seeds": 9}),
        ({Place.BEGUN: 1}, {"tail": 9}),
        ({Place.BEGUN: 1, Place.PLANNED: 1}, {"dependency": 9}),
        ({Place.WAITING: 5, Place.RETRYING: 5}, {"limit": 5, "retry": 4}),
        ({Place.RETRYING: 1, Place.HELD: 2, Place.BEGUN: 3}, {"retry": 1, "writer": 2, "tail": 6}),
        ({Place.BETWEEN: 2, Place.UNBEGUN: 3, Place.BEGUN: 9},
         {"dependency": 2, "limit": 3, "tail": 4}),
        ({Place.HELD: 30, Place.UNBEGUN: 30}, {"writer": 9}),
    ],
)  # fmt: skip
def test_empty_slots_go_to_who_could_have_used_them(
    places: dict[Place, int], expected: dict[str, float]
) -> None:
    clock = Clock()
    idle = IdleSlots(clock)
    idle.add_slots(10)
    idle.taken(1, 10)
    for place, count in places.items():
        idle.move(place, count)
    clock.now += 1.0
    told = idle.told()
    assert reasons(told) == expected
    assert (told.slot_seconds, told.asked_seconds) == (10.0, 1.0)


def test_nothing_is_counted_before_the_first_call_or_where_slots_are_not_known() -> None:
    clock = Clock()
    known, unknown = IdleSlots(clock), IdleSlots(clock)
    known.add_slots(2)
    clock.now = 5.0
    for idle, slots in ((known, 2), (unknown, 0)):
        idle.taken(1, slots)
    clock.now = 6.0
    assert known.told().slot_seconds == 2.0
    assert unknown.told() == IdleTime(
        slot_seconds=0.0, asked_seconds=0.0, idle_seconds=dict.fromkeys(Reason, 0.0)
    )


def test_what_comes_after_the_last_answer_can_be_left_out() -> None:
    clock = Clock()
    idle = IdleSlots(clock)
    idle.add_slots(2)
    idle.taken(1, 2)
    clock.now = 3.0
    idle.freed(0, 2)
    clock.now = 10.0
    assert reasons(idle.told()) == {"no seeds": 3.0 + 14.0}
    assert reasons(idle.until_last_answer()) == {"no seeds": 3.0}


def test_reasons_and_asked_time_add_up_whatever_happens() -> None:
    """Two endpoints of 3 and 5 slots, over-filled and empty, and everybody somewhere."""
    clock, draw = Clock(), Random(1)
    idle, slots, held = IdleSlots(clock), (3, 5), [0, 0]
    for number in slots:
        idle.add_slots(number)
    idle.taken(1, slots[0])
    held[0], expected = 1, 0.0
    for _ in range(2000):
        seconds = draw.choice((0.0, 0.25, 1.0))
        clock.now += seconds
        expected += seconds * sum(min(h, s) for h, s in zip(held, slots, strict=True))
        at = draw.randrange(2)
        if draw.random() < 0.5:
            held[at] += 1
            idle.taken(held[at], slots[at])
        elif held[at]:
            held[at] -= 1
            idle.freed(held[at], slots[at])
        idle.move(draw.choice(list(Place)), draw.randrange(3))
    told = idle.told()
    assert told.slot_seconds == 8 * clock.now
    assert told.asked_seconds == expected
    assert told.asked_seconds + sum(told.idle_seconds.values()) == told.slot_seconds


def test_the_pools_own_limit_is_told_from_a_lack_of_work() -> None:
    async def go() -> None:
        policy = PoolPolicy(limit=LimitPolicy(initial=2, blind_maximum=2), slots=5)
        async with Server(hang) as server, await opened(server, policy=policy) as pool:
            clock = pool.idle.clock = Clock()
            calls = [asyncio.create_task(pool.complete(prompt(), affinity="a")) for _ in range(3)]
            await until(lambda: server.in_flight == 2 and pool.snapshot().queue == 1)
            clock.now = 10.0
            told = pool.snapshot().idle
            assert (told.slot_seconds, told.asked_seconds) == (50.0, 20.0)
            assert reasons(told) == {"limit": 10.0, "no seeds": 20.0}
            await pool.stop()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(go())


def test_a_backoff_is_told_from_a_lack_of_work() -> None:
    async def go() -> None:
        policy = PoolPolicy(backoff_base_seconds=1e6, backoff_cap_seconds=1e6, slots=2)
        async with Server(status(503)) as server, await opened(server, policy=policy) as pool:
            clock = pool.idle.clock = Clock()
            call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
            await until(lambda: pool.snapshot().retries == 1 and not in_flight(pool))
            await asyncio.sleep(0)
            clock.now = 10.0
            assert reasons(pool.snapshot().idle) == {"retry": 10.0, "no seeds": 10.0}
            await pool.stop()
            await asyncio.gather(call, return_exceptions=True)

    asyncio.run(go())


def test_an_endpoint_that_joins_brings_its_slots() -> None:
    async def go() -> None:
        policy = PoolPolicy(limit=LimitPolicy(initial=4, blind_maximum=4), slots=4)
        async with Server(hang) as one, Server() as two, await opened(one, policy=policy) as pool:
            clock = pool.idle.clock = Clock()
            call = asyncio.create_task(pool.complete(prompt(), affinity="a"))
            await until(lambda: one.in_flight == 1)
            clock.now = 1.0
            pool.join(await resolve([two.url], "m"))
            clock.now = 2.0
            assert pool.snapshot().idle.slot_seconds == 4.0 + 8.0
            await pool.stop()
            await asyncio.gather(call, return_exceptions=True)

    asyncio.run(go())


def test_the_engines_busy_time_and_the_reasons_make_up_all_slot_seconds() -> None:
    """The simulated engine counts its busy slot-seconds itself, and knows nothing of the client."""
    settings = Settings(slots=4, mean_tokens=20, seconds_per_token=0.005)
    policy = PoolPolicy(slots=4)

    async def go() -> tuple[IdleTime, float]:
        async with TeacherPool(await resolve([teacher.url], None), {}, policy) as pool:
            first = asyncio.create_task(pool.complete(prompt("0"), affinity="0"))
            while not in_flight(pool):
                await asyncio.sleep(0)
            start = time.monotonic()
            texts = [str(number) for number in range(1, 30)]
            await asyncio.gather(first, *(pool.complete(prompt(t), affinity=t) for t in texts))
            return pool.snapshot().idle, time.monotonic() - start

    with SimulatedTeacher(settings) as teacher:
        told, seconds = asyncio.run(go())
        stats = teacher.stats()
    slots, busy = stats["slots"] * seconds, stats["busy_slot_seconds"]
    assert stats["answered"] == 30
    one_percent = 0.01 * slots
    # A call is at its endpoint before it takes the slot there and until after it leaves it.
    wire = told.asked_seconds - busy
    assert wire >= -one_percent
    assert sum(told.idle_seconds.values()) + wire == pytest.approx(slots - busy, abs=one_percent)
