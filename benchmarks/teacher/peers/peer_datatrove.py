"""datatrove's InferenceRunner with a rollout_fn, JSON lines out; with `keep`, its checkpoint on.

A runner has one endpoint, so several replicas are several runners with a part of the passages each,
as its ranks are.
"""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger
from peer_shared import Job, cpu_seconds, job, say

CHUNKS = 8


async def run(work: Job) -> None:
    async def rollout(document: Document, generate: Callable[..., Awaitable[Any]]) -> Any:
        said: list[Any] = []
        for stage in work.chains[document.id]:
            said = await asyncio.gather(*(generate(body) for body in stage))
        return said[-1]

    names, parts = list(work.chains), len(work.urls)
    at_once = max(1, work.in_flight // parts)

    def part(number: int) -> Awaitable[None]:
        mine = names[number::parts]
        runner = InferenceRunner(
            rollout,
            InferenceConfig(
                server_type="endpoint",
                endpoint_url=work.urls[number],
                model_name_or_path=work.model,
                max_concurrent_generations=at_once * work.width,
                max_concurrent_documents=at_once,
            ),
            JsonlWriter(
                str(work.folder / "out"), output_filename="${rank}_chunk_${chunk_index}.jsonl"
            ),
            checkpoints_local_dir=str(work.folder / "checkpoints") if work.keep else None,
            records_per_chunk=-(-len(mine) // CHUNKS),
        )
        return runner.run_async([Document(text=name, id=name) for name in mine], number)

    await asyncio.gather(*(part(number) for number in range(parts)))


def written(work: Job) -> Counter[str]:
    ids: Counter[str] = Counter()
    for path in (work.folder / "out").glob("*.jsonl*"):
        data = path.read_bytes()
        lines = gzip.decompress(data) if path.suffix == ".gz" else data
        ids.update(json.loads(line)["id"] for line in lines.splitlines())
    return ids


def main() -> None:
    logger.remove()
    work, before = job(), cpu_seconds()
    asyncio.run(run(work))
    used = cpu_seconds() - before
    say(written(work), used)


main()
