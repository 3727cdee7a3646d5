"""A whole generate run with everything durable switched on, against a client that keeps nothing.

Ours: `run_generate` of a two-call generator (a draft, then its revision) over a local store in one
worker: completions flushed and fsynced, lineage, Parquet shards, statistics, commits. The peer and
denominator: a bare aiohttp session that asks the same bytes in the same two-call chains and throws
the answers away. Where its extra packages are there, also datatrove's InferenceRunner, with and
without checkpoints.
"""

import asyncio
import cProfile
import json
import pstats
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.harness import Spread, cpu_seconds, introduce, options, pin, table
from generators.asking import PromptText, ask_messages
from generators.contract import Tools
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.models import Endpoint
from infra.teacher.policy import PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from infra.teacher.wire import request_body
from manifests.completions import Completion, Decoding, FinishReason, Prompt, Usage
from manifests.fingerprint import fingerprint
from manifests.records import Bucket, Grade, Kind, Record, Seed, SeedTags, record_id, seed_id
from manifests.store import open_store
from manifests.tables import to_table
from manifests.tokenizers import Tokenizer
from pipelines.work.generate import Generate, GenerateTask, run_generate
from pipelines.work.outcome import Outcome, commit_outcome
from pipelines.worker import Worker, WorkerConfig

MEAN_TOKENS = 100
DECODING = Decoding(temperature=0.7, max_tokens=1024)
INPUT = "steps/seeds@1/" + "0" * 32
DRAFT = PromptText(
    system="You write clear teaching texts.",
    user="Write a short lesson from this passage.\n\n{text}",
)
REVISE = PromptText(
    system="You write clear teaching texts.",
    user="Passage:\n\n{text}\n\nDraft:\n\n{draft}\n\nRewrite the draft so that it is correct.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoCalls:
    """A draft and its revision: the second prompt holds the first answer."""

    name: str = "two_calls@1"
    draft: PromptText = DRAFT
    revise: PromptText = REVISE
    decoding: Decoding = DECODING

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        first = await ask_messages(tools, self.draft.messages(text=row.text), self.decoding)
        again = self.revise.messages(text=row.text, draft=first)
        text = await ask_messages(tools, again, self.decoding)
        return [
            Record(
                id=record_id(self.name, row.id, text),
                text=text,
                bucket=Bucket.SYNTHETIC,
                generator=self.name,
                seed_ids=(row.id,),
                source=row.source,
                licence=row.licence,
                lang=row.lang,
            )
        ]


def seeds(count: int) -> list[Seed]:
    """Passages of about 120 words."""
    words = ("a bridge over the river and what crosses it in the morning " * 12).split()[:120]
    return [_seed(f"Passage {n}. {' '.join(words)}") for n in range(count)]


def _seed(text: str) -> Seed:
    document = fingerprint(text)[:32]
    return Seed(
        id=seed_id(document, 1, 1, text),
        document_id=document,
        source="bench",
        url=f"bench:{document}",
        licence="CC0-1.0",
        lang="en",
        kind=Kind.PROSE,
        domain="engineering",
        topic="bridges",
        text=text,
        start_line=1,
        end_line=1,
        page_edu=3,
        passage_factual=3,
        passage_reasoning=3,
        tags=SeedTags(
            info_type="fact", brief="b", complexity=Grade.B, obscurity=Grade.B, has_chain=False
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every system is given."""

    endpoint: Endpoint
    rows: Sequence[Seed]
    slices: int
    in_flight: int
    scale: float
    folder: Path
    chains: dict[str, list[bytes]]
    """The two request bodies of each seed, by its id."""


async def learn_chains(setup: Setup) -> None:
    """Ask everything once and keep the bodies: equal questions get equal answers."""
    import aiohttp

    url, method = f"{setup.endpoint.url}/v1/chat/completions", TwoCalls()
    slots = asyncio.Semaphore(setup.in_flight)

    async def chain(session: aiohttp.ClientSession, row: Seed) -> None:
        async def complete(prompt: Prompt) -> Completion:
            body = json.dumps(request_body(prompt, setup.endpoint)).encode()
            setup.chains.setdefault(row.id, []).append(body)
            async with session.post(url, data=body) as response:
                text = json.loads(await response.read())["choices"][0]["message"]["content"]
            name = setup.endpoint.teacher.name
            return Completion(
                text=text, finish_reason=FinishReason.STOP, teacher=name, usage=Usage()
            )

        async def execute(program: object) -> Any:
            raise AssertionError("this generator runs no code")

        async with slots:
            await method(row, Tools(complete=complete, execute=execute))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(chain(session, row) for row in setup.rows))


async def raw(setup: Setup) -> int:
    """The same chains, nothing kept; how many were answered."""
    import aiohttp

    url, slots = f"{setup.endpoint.url}/v1/chat/completions", asyncio.Semaphore(setup.in_flight)
    headers = {"Content-Type": "application/json"}

    async def chain(bodies: list[bytes]) -> None:
        async with slots:
            for body in bodies:
                async with session.post(url, data=body, headers=headers) as response:
                    assert json.loads(await response.read())["choices"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(chain(bodies) for bodies in setup.chains.values()))
    return len(setup.chains)


async def ours(setup: Setup) -> int:
    """A worker with four open tasks, as the runner gives it; rows that were committed."""
    policy = PoolPolicy(scrape_seconds=max(0.05, PoolPolicy().scrape_seconds * setup.scale))
    name = setup.endpoint.teacher.name
    config = WorkerConfig(
        root=str(setup.folder),
        endpoints=[setup.endpoint],
        roles={"writer": name},
        code="",
        items_in_flight=setup.in_flight,
    )
    work = Generate(
        method=TwoCalls(),
        makes="record",
        teachers=(("writer", name),),
        tokenizer=Tokenizer(),
    )
    worker = Worker(config)
    # The clock by which it looks at the engine is scaled as the engine's own is.
    worker.pool = TeacherPool(config.endpoints, config.roles, policy)
    await worker.start()
    open_tasks = asyncio.Semaphore(4)
    step = f"steps/two_calls@1/{fingerprint(work)[:32]}"
    try:

        async def one(slice_index: int) -> int:
            async with open_tasks:
                task = GenerateTask(work=work, step=step, input_step=INPUT, slice=slice_index)
                return (await run_generate(task, worker)).ledger.rows

        return sum(await asyncio.gather(*(one(index) for index in range(setup.slices))))
    finally:
        await worker.stop()


async def datatrove(setup: Setup, checkpoints: bool) -> int:
    """InferenceRunner as its own documentation has it, JSON lines out; documents it wrote."""
    from datatrove.data import Document
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()

    async def rollout(document: Document, generate: Callable[..., Awaitable[Any]]) -> Any:
        answer = None
        for body in setup.chains[document.id]:
            answer = await generate(json.loads(body))
        return answer

    runner = InferenceRunner(
        rollout,
        InferenceConfig(
            server_type="endpoint",
            endpoint_url=setup.endpoint.url,
            model_name_or_path=setup.endpoint.served_name,
            max_concurrent_generations=setup.in_flight,
            max_concurrent_documents=setup.in_flight,
        ),
        JsonlWriter(str(setup.folder / "out"), output_filename="${rank}_${chunk_index}.jsonl"),
        checkpoints_local_dir=str(setup.folder / "checkpoints") if checkpoints else None,
        records_per_chunk=-(-len(setup.rows) // setup.slices),
    )
    documents = [Document(text=row.text, id=row.id) for row in setup.rows]
    with redirect_stderr(StringIO()):
        await runner.run_async(documents, 0)
    return int(runner.stats.stats["documents_processed"].total)


async def datatrove_kept(setup: Setup) -> int:
    return await datatrove(setup, checkpoints=True)


async def datatrove_plain(setup: Setup) -> int:
    return await datatrove(setup, checkpoints=False)


System = Callable[[Setup], Awaitable[int]]
SYSTEMS: dict[str, tuple[str, System]] = {
    "raw": ("raw aiohttp, nothing kept", raw),
    "ours": ("run_generate (ours), all durable", ours),
    "datatrove": ("datatrove, no checkpoints", datatrove_plain),
    "datatrove-kept": ("datatrove, checkpoints", datatrove_kept),
}
EXTRA = ("httpx", "aiosqlite", "aiofiles")
"""What datatrove's inference wants beside what is in our environment."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system."""

    seconds: float
    of_ideal: float
    cpu_ms: float
    whole: float
    """Seconds from the start of the system to its end; `seconds` is first call to last answer."""


async def _timed(system: System, setup: Setup) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    start, used = loop.time(), cpu_seconds()
    done = await system(setup)
    assert done == len(setup.rows), f"{done} of {len(setup.rows)}"
    return loop.time() - start, cpu_seconds() - used


def measure(system: System, setup: Setup, teacher: SimulatedTeacher) -> Run:
    """In an empty folder that holds the input shards only."""
    shutil.rmtree(setup.folder, ignore_errors=True)
    write_input(setup)
    teacher.reset()
    whole, used = uvloop.run(_timed(system, setup))
    stats, calls = teacher.stats(), 2 * len(setup.rows)
    assert stats["unique_prompts"] == calls, stats
    assert stats["answered"] == calls, stats
    seconds = stats["elapsed_seconds"]
    ideal = stats["service_seconds"] / stats["slots"]
    return Run(seconds, 100 * ideal / seconds, 1000 * used / calls, whole)


def write_input(setup: Setup) -> None:
    store, size = open_store(str(setup.folder)), -(-len(setup.rows) // setup.slices)
    for number in range(setup.slices):
        part = setup.rows[number * size : (number + 1) * size]
        rows = to_table(part, [row.document_id for row in part], Seed)
        outcome = Outcome(row_type="seed", table=rows, rejects=[])
        commit_outcome(store, INPUT, number, outcome)


def scenario(
    names: Sequence[str], settings: Settings, setup_of: Callable[[Endpoint], Setup], runs: int
) -> dict[str, list[Run]]:
    with SimulatedTeacher(settings) as teacher:
        print(pin(teacher.pid))
        (endpoint,) = asyncio.run(resolve([teacher.url], None))
        setup = setup_of(endpoint)
        uvloop.run(learn_chains(setup))
        found: dict[str, list[Run]] = {name: [] for name in names}
        for _ in range(runs):
            for name in names:
                found[name].append(measure(SYSTEMS[name][1], setup, teacher))
    return found


def report(found: dict[str, list[Run]], *, timed: bool) -> None:
    def spread(name: str, figure: str) -> Spread:
        return Spread(tuple(getattr(run, figure) for run in found[name]))

    base, base_cpu = spread("raw", "seconds").middle, spread("raw", "cpu_ms").middle
    rows = [
        [
            SYSTEMS[name][0],
            spread(name, "seconds").shown(),
            spread(name, "of_ideal").shown(1) if timed else "-",
            f"{100 * base / spread(name, 'seconds').middle:.1f}",
            spread(name, "cpu_ms").shown(),
            f"{spread(name, 'cpu_ms').middle / base_cpu:.1f}",
            spread(name, "whole").shown(),
        ]
        for name in found
    ]
    head = ["system", "seconds", "% of ideal", "% of raw", "CPU ms a call", "x raw", "whole run s"]
    table(head, rows)


def profile(settings: Settings, setup_of: Callable[[Endpoint], Setup], lines: int) -> None:
    """One run of ours under cProfile: where the event loop's thread spends its time."""
    with SimulatedTeacher(settings) as teacher:
        (endpoint,) = asyncio.run(resolve([teacher.url], None))
        setup = setup_of(endpoint)
        uvloop.run(learn_chains(setup))
        profiler = cProfile.Profile()
        profiler.enable()
        measure(ours, setup, teacher)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(lines)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--items", type=int, default=1000, help="seeds; two calls each")
    parser.add_argument("--slices", type=int, default=8, help="tasks")
    parser.add_argument("--in-flight", type=int, default=256, help="items in flight at most")
    parser.add_argument("--slots", type=int, default=64, help="slots of the teacher")
    parser.add_argument("--mean-seconds", type=float, default=1.0, help="mean service, modelled")
    parser.add_argument("--time-scale", type=float, default=0.15, help="wall a modelled second")
    parser.add_argument("--systems", default="", help="default: all that are installed")
    parser.add_argument("--zero", action="store_true", help="only at zero latency")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES", help="profile ours")
    given = parser.parse_args()
    names = given.systems.split(",") if given.systems else list(SYSTEMS)
    introduce("A whole generate run", ["aiohttp", "uvloop", "pyarrow", "datatrove"])
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        print(f"datatrove is left out: it wants {', '.join(missing)}")
        names = [name for name in names if not name.startswith("datatrove")]
    quick = Settings(slots=given.in_flight, mean_tokens=MEAN_TOKENS)
    slow = Settings(
        slots=given.slots,
        mean_tokens=MEAN_TOKENS,
        seconds_per_token=given.mean_seconds / MEAN_TOKENS,
        time_scale=given.time_scale,
    )
    with tempfile.TemporaryDirectory(prefix="bench-run-", ignore_cleanup_errors=True) as folder:

        def setup_of(endpoint: Endpoint) -> Setup:
            return Setup(
                endpoint=endpoint,
                rows=seeds(given.items),
                slices=given.slices,
                in_flight=given.in_flight,
                scale=given.time_scale,
                folder=Path(folder, "root"),
                chains={},
            )

        if given.profile:
            profile(quick, setup_of, given.profile)
            return
        calls = f"{given.items} items of two calls in {given.slices} tasks"
        print(f"\nzero latency, {calls}, median of {given.runs}; ", end="", flush=True)
        report(scenario(names, quick, setup_of, given.runs), timed=False)
        if given.zero:
            return
        print(
            f"\n{given.slots} slots, mean {given.mean_seconds:g} s x {given.time_scale:g}, ", end=""
        )
        print(f"{calls}, median of {given.runs}; ", end="", flush=True)
        report(scenario(names, slow, setup_of, given.runs), timed=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
