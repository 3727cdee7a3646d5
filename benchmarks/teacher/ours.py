"""Ours, as a program: one worker, four open tasks, everything durable; says one JSON line.

Completions flushed and fsynced, transcripts kept, lineage, Parquet shards, statistics, commits.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.harness import cpu_seconds
from benchmarks.teacher.methods import FanOut, Method, OneCall, Rounds, seeds
from infra.teacher.idle import Place
from infra.teacher.policy import PoolPolicy
from infra.teacher.resolve import resolve
from manifests import layout
from manifests.commits import read_commits
from manifests.fingerprint import fingerprint
from manifests.records import Seed
from manifests.shards import read_shard
from manifests.store import Store, open_store
from manifests.tables import to_table
from manifests.tokenizers import Tokenizer
from pipelines.work.generate import Generate, GenerateTask, run_generate
from pipelines.work.outcome import Outcome, commit_outcome
from pipelines.worker import Worker, WorkerConfig

INPUT = "steps/seeds@1/" + "0" * 32
OPEN_TASKS = 4
METHODS: dict[str, Method] = {method.name: method for method in (OneCall(), Rounds(), FanOut())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What it is given."""

    urls: tuple[str, ...]
    method: str
    in_flight: int
    folder: str
    slices: int
    slots: int
    """Of one replica."""
    time_scale: float


def read_job(path: str) -> Job:
    given = json.loads(Path(path).read_text())
    names = ("method", "in_flight", "folder", "slices", "slots", "time_scale")
    return Job(urls=tuple(given["urls"]), **{name: given[name] for name in names})


def write_input(folder: Path, count: int, words: int, slices: int) -> None:
    """The passages, committed as a step's shards."""
    store, rows, size = open_store(str(folder)), seeds(count, words), -(-count // slices)
    for number in range(slices):
        part = rows[number * size : (number + 1) * size]
        table = to_table(part, [row.document_id for row in part], Seed)
        commit_outcome(store, INPUT, number, Outcome(row_type="seed", table=table, rejects=[]))


def policy(job: Job) -> PoolPolicy:
    """Where the engine's clock is faster than the wall's, so are the pool's."""
    usual, scale = PoolPolicy(slots=job.slots), min(1.0, job.time_scale)
    return replace(
        usual,
        scrape_seconds=max(0.05, usual.scrape_seconds * scale),
        stall_seconds=max(2.0, usual.stall_seconds * scale),
        backoff_base_seconds=usual.backoff_base_seconds * scale,
        backoff_cap_seconds=usual.backoff_cap_seconds * scale,
        probe_seconds=usual.probe_seconds * scale,
        probe_cap_seconds=usual.probe_cap_seconds * scale,
        limit=replace(usual.limit, cooldown_seconds=usual.limit.cooldown_seconds * scale),
    )


async def run(job: Job) -> tuple[str, int, dict[str, Any]]:
    """The step's address, what the pool asked on its own, and why slots were empty."""
    endpoints = await resolve(list(job.urls), None)
    name = endpoints[0].teacher.name
    config = WorkerConfig(
        root=job.folder,
        endpoints=endpoints,
        roles={"writer": name},
        code="",
        items_in_flight=job.in_flight,
        policy=policy(job),
    )
    work = Generate(
        method=METHODS[job.method],
        makes="record",
        teachers=(("writer", name),),
        tokenizer=Tokenizer(),
    )
    step = f"steps/{job.method}/{fingerprint(work)[:32]}"
    worker = Worker(config)
    await worker.start()
    open_tasks = asyncio.Semaphore(OPEN_TASKS)

    async def one(number: int) -> None:
        with worker.idle.at(Place.PLANNED):
            await open_tasks.acquire()
        try:
            task = GenerateTask(work=work, step=step, input_step=INPUT, slice=number)
            await run_generate(task, worker)
        finally:
            open_tasks.release()

    try:
        await asyncio.gather(*(one(number) for number in range(job.slices)))
    finally:
        await worker.stop()
    told = worker.idle.until_last_answer()
    return (
        step,
        worker.pool.snapshot().canaries,
        {
            "slot_seconds": told.slot_seconds,
            "asked_seconds": told.asked_seconds,
            "idle_seconds": dict(told.idle_seconds),
        },
    )


def written(store: Store, step: str) -> tuple[Counter[str], int]:
    """The passages in the committed shards, each read and checked, and how many were refused."""
    ids: Counter[str] = Counter()
    refused = 0
    for commit in read_commits(store, step):
        table = read_shard(store, layout.data_file(step, commit.data.sha256), commit.data)
        ids.update(one for (one,) in table["seed_ids"].to_pylist())
        refused += commit.ledger.planned - commit.ledger.accepted
    return ids, refused


def main() -> None:
    job, before = read_job(sys.argv[1]), cpu_seconds()
    step, canaries, idle = uvloop.run(run(job))
    used = cpu_seconds() - before
    ids, refused = written(open_store(job.folder), step)
    said = {"done": len(ids), "twice": sum(1 for count in ids.values() if count > 1)}
    said |= {"refused": refused, "canaries": canaries}
    print(json.dumps({**said, "cpu_seconds": used, "idle": idle}))


if __name__ == "__main__":
    main()
