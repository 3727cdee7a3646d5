"""The pool and the simulated teacher, when much goes wrong at once."""

import asyncio
from typing import Any

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.policy import PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from manifests.completions import Decoding, Message, Prompt
from manifests.errors import PromptRefused

QUICK = PoolPolicy(
    backoff_base_seconds=0.002,
    backoff_cap_seconds=0.02,
    probe_seconds=0.02,
    probe_cap_seconds=0.1,
    scrape_seconds=0.05,
    max_malformed=10,
)
STORM: list[dict[str, Any]] = [
    {"kind": "http_400", "containing": "unwelcome"},
    {"kind": "http_429", "rate": 0.03, "retry_after": 0.01},
    {"kind": "http_503", "rate": 0.02},
    {"kind": "http_500", "rate": 0.02},
    {"kind": "reset", "rate": 0.02},
    {"kind": "half", "rate": 0.02},
    {"kind": "malformed", "rate": 0.02},
    {"kind": "empty_choices", "rate": 0.02},
    {"kind": "wrong_model", "rate": 0.005},
]


def prompt(text: str) -> Prompt:
    decoding = Decoding(temperature=0.8, max_tokens=64)
    return Prompt(messages=(Message(role="user", content=text),), decoding=decoding)


def test_in_a_storm_every_call_ends_once_and_only_the_refused_are_refused() -> None:
    async def go(teachers: list[SimulatedTeacher]) -> None:
        endpoints = await resolve([t.url for t in teachers], None)
        texts = [f"prompt {i}" + " unwelcome" * (i % 50 == 7) for i in range(600)]
        async with TeacherPool(endpoints, {}, QUICK) as pool:
            calls = (pool.complete(prompt(text), affinity=text) for text in texts)
            done = await asyncio.gather(*calls, return_exceptions=True)
            shot = pool.snapshot()
        refused = [t for t, d in zip(texts, done, strict=True) if isinstance(d, PromptRefused)]
        failed = [d for d in done if isinstance(d, BaseException)]
        assert refused == [text for text in texts if text.endswith("unwelcome")]
        assert len(failed) == len(refused) == 12
        assert [e.in_flight for e in shot.endpoints] == [0, 0, 0]
        assert sum(e.calls for e in shot.endpoints) == 588
        assert shot.requests == 600

    settings = Settings(slots=16, seconds_per_token=0.0001)
    with (
        SimulatedTeacher(settings) as a,
        SimulatedTeacher(settings) as b,
        SimulatedTeacher(settings) as c,
    ):
        for teacher in (a, b, c):
            teacher.faults(STORM)
        asyncio.run(go([a, b, c]))


def test_calls_survive_the_death_of_one_replica_and_then_of_all() -> None:
    async def go(a: SimulatedTeacher, b: SimulatedTeacher) -> None:
        async def done(count: int) -> None:
            while sum(e.calls for e in pool.snapshot().endpoints) < count:
                await asyncio.sleep(0.01)

        async with TeacherPool(await resolve([a.url, b.url], None), {}, QUICK) as pool:
            calls = [
                asyncio.create_task(pool.complete(prompt(f"{i}"), affinity=str(i)))
                for i in range(400)
            ]
            await done(50)
            await asyncio.to_thread(a.kill)
            await done(120)
            await asyncio.to_thread(b.kill)
            while pool.snapshot().paused_since is None:
                await asyncio.sleep(0.01)
            await asyncio.gather(*(asyncio.to_thread(t.restart) for t in (a, b)))
            assert len(await asyncio.gather(*calls)) == 400
            shot = pool.snapshot()
            assert shot.paused_since is None
            assert shot.retries <= 2 * 64

    settings = Settings(slots=16, seconds_per_token=0.002)
    with SimulatedTeacher(settings) as a, SimulatedTeacher(settings) as b:
        asyncio.run(go(a, b))
