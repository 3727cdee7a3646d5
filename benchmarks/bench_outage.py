"""What an outage of the teacher costs, and what it costs to keep every answer.

An outage: calls go on while every connection to the teacher is reset for some seconds. The peer is
the openai client as it comes, with its own two retries. Keeping: the same calls at zero latency
through the pool alone, and through the journal, which has every answer on disk before it is used.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop

from benchmarks.bench_client import MEAN_TOKENS, prompts
from benchmarks.harness import Spread, cpu_seconds, introduce, options, pin, table
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.models import Endpoint
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from infra.teacher.wire import request_body
from manifests.completions import Completion, Prompt
from manifests.store import open_store
from pipelines.durable import Journal, TaskCompletions

Ask = Callable[[Prompt], Awaitable[object]]
Opener = Callable[[AsyncExitStack, Endpoint], Awaitable[tuple[Ask, Callable[[], bool]]]]
"""What asks, and whether it says that it pauses."""

SLOTS = 64
MEAN_SECONDS = 0.25
BEFORE_SECONDS = 2.0
"""How long all is well."""


async def pool(stack: AsyncExitStack, endpoint: Endpoint) -> tuple[Ask, Callable[[], bool]]:
    """Ours."""
    teachers = await stack.enter_async_context(
        TeacherPool([endpoint], {"writer": endpoint.teacher.name})
    )

    def paused() -> bool:
        return teachers.snapshot().paused_since is not None

    return lambda prompt: teachers.complete(prompt, affinity=""), paused


async def bare(stack: AsyncExitStack, endpoint: Endpoint) -> tuple[Ask, Callable[[], bool]]:
    """The client as it comes: two retries, each after half a second to eight."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    client = await stack.enter_async_context(
        AsyncOpenAI(
            base_url=f"{endpoint.url}/v1", api_key="none", http_client=DefaultAioHttpClient()
        )
    )

    async def ask(prompt: Prompt) -> object:
        return await client.chat.completions.create(**request_body(prompt, endpoint))

    return ask, lambda: False


SYSTEMS: dict[str, Opener] = {
    "TeacherPool (ours)": pool,
    "openai client, its retries": bare,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What one system made of one."""

    pause: float | None
    """Seconds from its begin until the system said that it pauses."""
    recover: float | None
    """Seconds from its end to the next answer."""
    turned_away: int
    """Requests that came meanwhile."""
    failed: int
    """Calls that came to no answer."""
    sent: float
    """Requests an answer."""


class Calls:
    """Calls of which some are under way, and when the last was answered."""

    def __init__(self, ask: Ask) -> None:
        self._ask, self._slots = ask, asyncio.Semaphore(SLOTS)
        self.failed, self.answers = 0, list[float]()

    async def one(self, prompt: Prompt) -> None:
        async with self._slots:
            try:
                await self._ask(prompt)
            except Exception:  # whatever a client gives up with
                self.failed += 1
            else:
                self.answers.append(time.monotonic())


async def outage(opener: Opener, teacher: SimulatedTeacher, calls: int, seconds: float) -> Outage:
    """Calls with an outage among them."""
    (endpoint,) = await resolve([teacher.url], None)
    async with AsyncExitStack() as stack:
        ask, paused = await opener(stack, endpoint)
        work = Calls(ask)
        teacher.reset()
        asked = asyncio.gather(*(work.one(prompt) for prompt in prompts(calls)))
        await asyncio.sleep(BEFORE_SECONDS)
        await asyncio.to_thread(teacher.down, True)
        begun, said = time.monotonic(), None
        while (now := time.monotonic()) < begun + seconds:
            said = now - begun if said is None and paused() else said
            await asyncio.sleep(0.005)
        await asyncio.to_thread(teacher.down, False)
        ended = time.monotonic()
        await asked
    stats = teacher.stats()
    return Outage(
        pause=said,
        recover=min((at - ended for at in work.answers if at > ended), default=None),
        turned_away=stats["turned_away"],
        failed=work.failed,
        sent=(stats["requests"] + stats["turned_away"]) / len(work.answers),
    )


def report_outages(calls: int, seconds: float, runs: int) -> None:
    """Both systems, in turns."""
    settings = Settings(
        slots=SLOTS, mean_tokens=MEAN_TOKENS, seconds_per_token=MEAN_SECONDS / MEAN_TOKENS
    )
    found: dict[str, list[Outage]] = {name: [] for name in SYSTEMS}
    with SimulatedTeacher(settings) as teacher:
        print(pin(teacher.pid))
        for _ in range(runs):
            for name, opener in SYSTEMS.items():
                found[name].append(uvloop.run(outage(opener, teacher, calls, seconds)))
    head = ["system", "s to pause", "s to recover", "turned away", "calls failed", "sent an answer"]
    rows = [
        [
            name,
            _shown([one.pause for one in all_], 2),
            _shown([one.recover for one in all_], 2),
            _shown([one.turned_away for one in all_], 0),
            _shown([one.failed for one in all_], 0),
            _shown([one.sent for one in all_], 3),
        ]
        for name, all_ in found.items()
    ]
    table(head, rows)


def _shown(values: list[float | int | None], digits: int) -> str:
    there = tuple(float(value) for value in values if value is not None)
    return Spread(there).shown(digits) if there else "-"


async def keeping(teacher: SimulatedTeacher, calls: int, *, keep: bool) -> tuple[float, float]:
    """CPU milliseconds a call, and calls a second."""
    (endpoint,) = await resolve([teacher.url], None)
    name, asked = endpoint.teacher.name, prompts(calls)
    slots = asyncio.Semaphore(4 * SLOTS)
    with tempfile.TemporaryDirectory() as folder:
        async with TeacherPool([endpoint], {"writer": name}) as teachers:
            journal = Journal(open_store(folder))
            answers = TaskCompletions(journal, "completions/task", {}, {})

            async def one(prompt: Prompt) -> None:
                async def call() -> Completion:
                    return await teachers.complete(prompt, affinity="")

                async with slots:
                    await (answers.get(prompt.key(name), prompt.role, call) if keep else call())

            begun, used = time.perf_counter(), cpu_seconds()
            await asyncio.gather(*(one(prompt) for prompt in asked))
            await journal.close()
            taken = time.perf_counter() - begun
            return 1000 * (cpu_seconds() - used) / len(asked), len(asked) / taken


def report_keeping(calls: int, runs: int) -> None:
    """Without and with, in turns."""
    titles = {False: "pool alone", True: "pool and journal"}
    found: dict[bool, list[tuple[float, float]]] = {keep: [] for keep in titles}
    with SimulatedTeacher(Settings(slots=4 * SLOTS, mean_tokens=MEAN_TOKENS)) as teacher:
        print(pin(teacher.pid))
        for _ in range(runs):
            for keep in titles:
                found[keep].append(uvloop.run(keeping(teacher, calls, keep=keep)))
    cpu = {keep: Spread(tuple(one[0] for one in found[keep])) for keep in titles}
    rate = {keep: Spread(tuple(one[1] for one in found[keep])) for keep in titles}
    rows = [
        [
            title,
            cpu[keep].shown(),
            f"{cpu[keep].middle / cpu[False].middle:.2f}",
            rate[keep].shown(0),
        ]
        for keep, title in titles.items()
    ]
    table(["", "CPU ms a call", "x alone", "calls/s"], rows)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--calls", type=int, default=3000, help="calls a run")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the outage")
    given = parser.parse_args()
    introduce("An outage, and keeping every answer", ["aiohttp", "uvloop", "openai"])
    print(f"\n{given.calls} calls, {SLOTS} at once, mean {MEAN_SECONDS} s, ", end="")
    print(f"an outage of {given.seconds:g} s; ", end="", flush=True)
    report_outages(given.calls, given.seconds, given.runs)
    print(f"\n{given.calls} calls at zero latency, {4 * SLOTS} at once; ", end="", flush=True)
    report_keeping(given.calls, given.runs)


if __name__ == "__main__":
    main()
