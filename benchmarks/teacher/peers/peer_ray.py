"""Ray Data: `map_batches` over an async class in an actor, Parquet out.

With `keep` its checkpoint is on. CPU is that of the actor's process and of the driver's, without
Ray's own daemons.
"""

import asyncio
import json
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from peer_shared import Job, cpu_seconds, job, say
from ray.data import ActorPoolStrategy, DataContext

BATCHES = 8
"""In flight in the actor."""


class Caller:
    """Asks the rows of a batch at once."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )
        session = self._session

        async def ask(chain: str) -> str:
            ((body,),) = json.loads(chain)
            async with session.post(self._url, json=body) as response:
                response.raise_for_status()
                return str((await response.json())["choices"][0]["message"]["content"])

        texts = await asyncio.gather(*(ask(chain) for chain in batch["chain"]))
        used = np.full(len(texts), cpu_seconds())
        yield {"id": batch["id"], "text": np.array(texts, dtype=object), "cpu": used}


def write_input(work: Job) -> str:
    """A Parquet file for each batch in flight, once."""
    folder, names = work.folder / "in", list(work.chains)
    if not folder.exists():
        folder.mkdir()
        for number in range(BATCHES):
            ids = names[number::BATCHES]
            chains = [json.dumps(work.chains[name]) for name in ids]
            pq.write_table(pa.table({"id": ids, "chain": chains}), folder / f"{number}.parquet")
    return str(folder)


def main() -> None:
    work = job()
    logging.getLogger("ray").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as home:
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=200 * 1024**2,
            _temp_dir=home,
        )
        context = DataContext.get_current()
        context.enable_progress_bars = False
        if work.keep:
            from ray.data.checkpoint import CheckpointConfig

            context.checkpoint_config = CheckpointConfig(
                id_column="id",
                checkpoint_path=str(work.folder / "checkpoint"),
                delete_checkpoint_on_success=False,
            )
        source = write_input(work)
        before = cpu_seconds()
        ray.data.read_parquet(source).map_batches(
            Caller,
            fn_constructor_args=(work.urls[0],),
            batch_size=max(1, work.in_flight // BATCHES),
            compute=ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=2 * BATCHES),
            max_concurrency=BATCHES,
            num_cpus=1,
        ).write_parquet(str(work.folder / "out"))
        used = cpu_seconds() - before
        made = pq.read_table(str(work.folder / "out"), columns=["id", "cpu"]).to_pydict()
        say(Counter(made["id"]), used + max(made["cpu"]))
        ray.shutdown()


main()
