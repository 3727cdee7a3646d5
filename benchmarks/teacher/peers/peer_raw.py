"""A bare aiohttp session with a semaphore: the least that an asyncio client can do; keeps nothing.

Over several replicas calls take turns, or, with `sticky`, a passage's calls go to one.
"""

import asyncio
import json
import sys
from collections import Counter

import aiohttp
import uvloop
from peer_shared import Body, Chain, Job, cpu_seconds, job, say

PAUSE = 0.5
"""Seconds before a call is tried again, where it is."""


async def run(work: Job, sticky: bool) -> Counter[str]:
    done: Counter[str] = Counter()
    slots = asyncio.Semaphore(work.in_flight)
    headers = {"Content-Type": "application/json"}
    urls = [f"{url}/v1/chat/completions" for url in work.urls]
    sent = 0

    async def once(session: aiohttp.ClientSession, url: str, data: bytes) -> None:
        async with session.post(url, data=data, headers=headers) as response:
            response.raise_for_status()
            assert json.loads(await response.read())["choices"][0]["message"]["content"]

    async def call(session: aiohttp.ClientSession, data: bytes, home: int) -> None:
        nonlocal sent
        sent += 1
        url = urls[(home if sticky else sent) % len(urls)]
        while True:
            try:
                return await once(session, url, data)
            except (aiohttp.ClientError, OSError, ValueError, LookupError):
                if not work.retry:
                    raise
                await asyncio.sleep(PAUSE)

    async def one(session: aiohttp.ClientSession, name: str, stages: list[list[bytes]]) -> None:
        async with slots:
            home = int(name[:8], 16)
            for stage in stages:
                await asyncio.gather(*(call(session, data, home) for data in stage))
            done[name] += 1

    chains = {name: encoded(chain) for name, chain in work.chains.items()}
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(one(session, name, stages) for name, stages in chains.items()))
    return done


def encoded(chain: Chain) -> list[list[bytes]]:
    def line(body: Body) -> bytes:
        return json.dumps(body).encode()

    return [[line(body) for body in stage] for stage in chain]


def main() -> None:
    work, before = job(), cpu_seconds()
    ids = uvloop.run(run(work, "sticky" in sys.argv))
    say(ids, cpu_seconds() - before)


main()
