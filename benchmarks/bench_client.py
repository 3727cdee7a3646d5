"""What a call to the teacher costs its client, and how full the client keeps the teacher.

At zero latency: CPU milliseconds of the client a call, and calls a second. Under service times (a
lognormal answer length on S slots): elapsed time against the ideal, all service seconds over all
slots. The peer and denominator is a bare aiohttp session with a semaphore, on the same prompts.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.harness import Spread, cpu_seconds, introduce, options, pin, table
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.models import Endpoint
from infra.teacher.policy import PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from infra.teacher.wire import request_body
from manifests.completions import Decoding, Message, Prompt

Ask = Callable[[int], Awaitable[str]]
"""The answer to the prompt of this number."""

MEAN_TOKENS = 100
PROMPT_WORDS = 150


@dataclass(frozen=True, slots=True)
class Work:
    """What a run asks."""

    endpoint: Endpoint
    prompts: Sequence[Prompt]
    in_flight: int
    scale: float
    """Wall seconds of a modelled second."""

    def body(self, number: int) -> dict[str, Any]:
        return request_body(self.prompts[number], self.endpoint)


Opener = Callable[[AsyncExitStack, Work], Awaitable[Ask]]


async def raw(stack: AsyncExitStack, work: Work) -> Ask:
    """A bare aiohttp session: the least that an asyncio client can do."""
    import aiohttp

    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    )
    url, slots = f"{work.endpoint.url}/v1/chat/completions", asyncio.Semaphore(work.in_flight)
    headers = {"Content-Type": "application/json"}
    bodies = [json.dumps(work.body(n)).encode() for n in range(len(work.prompts))]

    async def ask(number: int) -> str:
        async with slots, session.post(url, data=bodies[number], headers=headers) as response:
            assert response.status == 200
            answer = json.loads(await response.read())
            return str(answer["choices"][0]["message"]["content"])

    return ask


async def pool(stack: AsyncExitStack, work: Work) -> Ask:
    """Our pool; the clock by which it looks at the engine is scaled as the engine's is."""
    policy = PoolPolicy(scrape_seconds=max(0.05, PoolPolicy().scrape_seconds * work.scale))
    teachers = await stack.enter_async_context(
        TeacherPool([work.endpoint], {"writer": work.endpoint.teacher.name}, policy)
    )
    items = asyncio.Semaphore(work.in_flight)

    async def ask(number: int) -> str:
        async with items:
            return (await teachers.complete(work.prompts[number], affinity=str(number))).text

    return ask


async def openai_client(stack: AsyncExitStack, work: Work) -> Ask:
    """The openai client on its aiohttp transport, without retries."""
    from openai import AsyncOpenAI, DefaultAioHttpClient, Timeout

    http = DefaultAioHttpClient(timeout=Timeout(600.0))
    client = await stack.enter_async_context(
        AsyncOpenAI(
            base_url=f"{work.endpoint.url}/v1", api_key="none", max_retries=0, http_client=http
        )
    )
    slots = asyncio.Semaphore(work.in_flight)
    bodies = [work.body(n) for n in range(len(work.prompts))]

    async def ask(number: int) -> str:
        async with slots:
            answer = await client.chat.completions.create(**bodies[number])
            return str(answer.choices[0].message.content)

    return ask


async def datatrove(stack: AsyncExitStack, work: Work) -> Ask:
    """The function that datatrove's InferenceRunner sends each request with; no checkpoints."""
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.inference.servers import EndpointServer
    from datatrove.pipeline.writers import JsonlWriter

    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=work.endpoint.url,
        model_name_or_path=work.endpoint.served_name,
        max_concurrent_generations=work.in_flight,
    )
    runner = InferenceRunner(_no_rollout, config, JsonlWriter(os.devnull))
    server = EndpointServer(config, 0)
    server._server_ready.set_result(True)  # else it polls with httpx, which is not of our set
    slots = asyncio.Semaphore(work.in_flight)
    bodies = [work.body(n) for n in range(len(work.prompts))]

    async def ask(number: int) -> str:
        return str((await runner._send_request(server, bodies[number], slots)).text)

    return ask


async def _no_rollout(document: object, generate: object) -> None:
    """The runner wants one; its request function is called without it."""


SYSTEMS: dict[str, tuple[str, Opener]] = {
    "raw": ("raw aiohttp + semaphore", raw),
    "pool": ("TeacherPool (ours)", pool),
    "openai": ("openai, aiohttp transport", openai_client),
    "datatrove": ("datatrove request function", datatrove),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system."""

    cpu_ms: float
    per_second: float
    of_ideal: float
    server_ms: float


async def _asked(opener: Opener, work: Work, teacher: SimulatedTeacher) -> float:
    """CPU seconds of the client for all prompts; opening and closing are not counted."""
    async with AsyncExitStack() as stack:
        ask = await opener(stack, work)
        await ask(0)
        teacher.reset()
        start = cpu_seconds()
        answers = await asyncio.gather(*(ask(n) for n in range(1, len(work.prompts))))
        used = cpu_seconds() - start
        assert all(answers)
        return used


def measure(opener: Opener, work: Work, teacher: SimulatedTeacher) -> Run:
    used = uvloop.run(_asked(opener, work, teacher))
    stats, calls = teacher.stats(), len(work.prompts) - 1
    assert stats["answered"] == calls, stats
    return Run(
        cpu_ms=1000 * used / calls,
        per_second=calls / stats["elapsed_seconds"],
        of_ideal=100 * stats["service_seconds"] / stats["slots"] / stats["elapsed_seconds"],
        server_ms=1000 * stats["cpu_seconds"] / calls,
    )


def prompts(count: int) -> list[Prompt]:
    """Distinct prompts of the size of a short rewrite."""
    words = ("the passage speaks of rivers, of bridges and of what crosses them " * 20).split()
    decoding = Decoding(temperature=0.7, max_tokens=1024)
    return [
        Prompt(
            messages=(
                Message(role="system", content="You rewrite passages faithfully."),
                Message(role="user", content=f"Text {n}: {' '.join(words[:PROMPT_WORDS])}"),
            ),
            decoding=decoding,
        )
        for n in range(count + 1)
    ]


def scenario(
    names: Sequence[str], settings: Settings, in_flight: int, calls: int, runs: int
) -> dict[str, list[Run]]:
    """Every system, in turns, on one server."""
    asked = prompts(calls)
    with SimulatedTeacher(settings) as teacher:
        print(pin(teacher.pid))
        (endpoint,) = asyncio.run(resolve([teacher.url], None))
        work = Work(endpoint, asked, in_flight, settings.time_scale)
        found: dict[str, list[Run]] = {name: [] for name in names}
        for _ in range(runs):
            for name in names:
                found[name].append(measure(SYSTEMS[name][1], work, teacher))
    return found


def report_overhead(found: dict[str, list[Run]]) -> None:
    base = _spread(found["raw"], "cpu_ms").middle
    rows = []
    for name, runs in found.items():
        cpu = _spread(runs, "cpu_ms")
        rows.append(
            [
                SYSTEMS[name][0],
                cpu.shown(),
                f"{cpu.middle / base:.2f}",
                _spread(runs, "per_second").shown(0),
                _spread(runs, "server_ms").shown(),
            ]
        )
    table(["system", "client CPU ms a call", "x raw", "calls/s", "server CPU ms"], rows)


def report_fullness(found: dict[str, list[Run]]) -> None:
    base = _spread(found["raw"], "of_ideal").middle
    rows = []
    for name, runs in found.items():
        ideal = _spread(runs, "of_ideal")
        rows.append(
            [
                SYSTEMS[name][0],
                ideal.shown(1),
                f"{100 * ideal.middle / base:.1f}",
                _spread(runs, "cpu_ms").shown(),
            ]
        )
    table(["system", "% of ideal", "% of raw", "client CPU ms a call"], rows)


def _spread(runs: Sequence[Run], name: str) -> Spread:
    return Spread(tuple(getattr(run, name) for run in runs))


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--calls", type=int, default=2000, help="calls a run")
    parser.add_argument("--in-flight", type=int, default=256, help="calls in flight at most")
    parser.add_argument("--slots", type=int, default=64, help="slots of the teacher")
    parser.add_argument("--mean-seconds", type=float, default=1.0, help="mean service, modelled")
    parser.add_argument("--time-scale", type=float, default=0.12, help="wall a modelled second")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="raw must be one of them")
    given = parser.parse_args()
    names = given.systems.split(",")
    introduce("Client overhead", ["aiohttp", "uvloop", "openai", "datatrove"])
    print(f"\nzero latency, {given.calls} calls, {given.in_flight} in flight, ", end="")
    print(f"median of {given.runs}; ", end="", flush=True)
    quick = Settings(slots=given.in_flight, mean_tokens=MEAN_TOKENS)
    report_overhead(scenario(names, quick, given.in_flight, given.calls, given.runs))
    print(f"\n{given.slots} slots, mean {given.mean_seconds:g} s x {given.time_scale:g}, ", end="")
    print(f"{given.calls} calls, median of {given.runs}; ", end="", flush=True)
    slow = Settings(
        slots=given.slots,
        mean_tokens=MEAN_TOKENS,
        seconds_per_token=given.mean_seconds / MEAN_TOKENS,
        time_scale=given.time_scale,
    )
    report_fullness(scenario(names, slow, given.in_flight, given.calls, given.runs))


if __name__ == "__main__":
    main()
