"""A run whose method kills its worker, hangs it or has a bug, as its documents say.

    python poisoned.py ROOT DOCUMENTS TEACHER SILENCE_SECONDS

prints the run's report and the address of the step as JSON.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from generators.asking import ask_messages
from generators.contract import Tools
from generators.seeds.inventory import take_inventory
from generators.seeds.sources import Format, Source
from infra.logs import log_to_stderr
from infra.teacher.resolve import resolve
from manifests.completions import Decoding, Message
from manifests.exits import run
from manifests.fingerprint import sha256
from manifests.records import Grade, Seed, SeedDocument, SeedTags, seed_id
from manifests.store import open_store
from manifests.tokenizers import Tokenizer
from pipelines import cluster
from pipelines.plan import Plan, code_version, record_plan
from pipelines.runner import Options, Runner
from pipelines.step import Step
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.worker import WorkerConfig

SLICE_BYTES = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """Makes a seed of a document that holds no poison."""

    name: str = "poisoned@1"

    async def __call__(self, row: SeedDocument, tools: Tools, /) -> Sequence[Seed]:
        asked = (Message(role="user", content=row.text),)
        answer = await ask_messages(tools, asked, Decoding(temperature=0.0, max_tokens=400))
        if "KILLER" in row.text:
            os._exit(1)
        if "HANGER" in row.text:
            re.match(r"(a+)+$", "a" * 60 + "b")  # backtracks for years, and holds the interpreter
        if "BUG" in row.text:
            raise ZeroDivisionError("a bug in the method")
        return [seed_of(row, answer)]


def seed_of(row: SeedDocument, text: str) -> Seed:
    return Seed(
        id=seed_id(row.id, 1, 1, text),
        document_id=row.id,
        source=row.source,
        url=row.url,
        licence=row.licence,
        lang=row.lang,
        kind=row.kind,
        domain="none",
        topic="none",
        text=text,
        start_line=1,
        end_line=1,
        page_edu=0,
        passage_factual=0,
        passage_reasoning=0,
        tags=SeedTags(
            info_type="none", brief="", complexity=Grade.A, obscurity=Grade.A, has_chain=False
        ),
    )


def main() -> None:
    root, documents, teacher, silence = sys.argv[1:]
    log_to_stderr()
    endpoints = asyncio.run(resolve([teacher], None))
    name = endpoints[0].teacher.name
    plan = planned(documents, name)
    store = open_store(root)
    record_plan(store, plan, accept_code=False)
    config = WorkerConfig(
        root=store.url, endpoints=endpoints, roles={"writer": name}, code=code_version()
    )
    options = Options(silence_seconds=float(silence))
    with cluster.connected(options.workers):
        report = Runner(store, plan, config, options, lambda report, workers: None).run()
    print(json.dumps({"step": plan.ends[0].address, "deaths": report.worker_deaths}))


def planned(documents: str, teacher: str) -> Plan:
    source = Source(name="poison", url=documents, format=Format.JSONL, licence="CC0-1.0", lang="en")
    inventory = take_inventory([source])
    data = inventory.to_json()
    read = ReadDocuments(sources=(source,), inventory=sha256(data), slice_bytes=SLICE_BYTES)
    work = Generate(
        method=Poisoned(), makes="seed", teachers=(("writer", teacher),), tokenizer=Tokenizer()
    )
    first = Step(name="documents", version=1, work=read)
    last = Step(name="poisoned", version=1, work=work, inputs=(first,))
    slices = len(inventory.slices(SLICE_BYTES))
    return Plan(recipe="poisoned", arguments={}, ends=(last,), slices=slices, inventory=data)


if __name__ == "__main__":
    run(main)
