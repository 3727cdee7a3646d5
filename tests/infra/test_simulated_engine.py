"""Slots, queue, prefix cache and time, as modelled."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.simulated.prefix import PrefixCache
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from tests.infra.simulated_client import ask, question


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
