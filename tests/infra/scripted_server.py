"""An OpenAI-compatible server that does what a script says, for exact cases."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from infra.teacher.policy import PoolPolicy
from infra.teacher.pool import TeacherPool
from infra.teacher.resolve import resolve
from manifests.completions import Decoding, Message, Prompt

FAST = PoolPolicy(
    backoff_base_seconds=0.002,
    backoff_cap_seconds=0.01,
    probe_seconds=0.03,
    probe_cap_seconds=0.1,
    scrape_seconds=0.02,
    canary_seconds=0.2,
)
Script = Callable[["Server", dict[str, Any]], Awaitable[web.StreamResponse]]


def answer(body: dict[str, Any], text: str = "fine", finish: str | None = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {
        "model": body["model"],
        "choices": [{**choice, "finish_reason": finish}],
        "usage": usage,
    }


async def fine(server: "Server", body: dict[str, Any]) -> web.StreamResponse:
    return web.json_response(answer(body))


def status(code: int, **headers: str) -> Script:
    async def script(server: Server, body: dict[str, Any]) -> web.StreamResponse:
        error = {"error": {"message": f"scripted {code}"}}
        return web.json_response(error, status=code, headers=headers)

    return script


def raw(data: bytes) -> Script:
    async def script(server: Server, body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=data, content_type="application/json")

    return script


async def hang(server: "Server", body: dict[str, Any]) -> web.StreamResponse:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        server.aborted += 1
        raise
    return web.Response()


class Server:
    """An OpenAI-compatible server whose chat is a script."""

    def __init__(self, script: Script = fine, *, models: tuple[str, ...] = ("m", "m@r1")) -> None:
        self.script, self.models = script, models
        self.metrics: Callable[[], str] | None = None
        self.hosted = False
        self.keys: list[str | None] = []
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.peak = self.aborted = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Server":
        await self.start(0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def restart(self) -> None:
        await self.start(int(self.url.rpartition(":")[2]))

    async def _models(self, request: web.Request) -> web.Response:
        engine = {"owned_by": "vllm", "max_model_len": 512}
        other = {"owned_by": "someone"}
        rows = [{"id": m, **(other if self.hosted else engine)} for m in self.models]
        return web.json_response({"object": "list", "data": rows})

    async def _metrics(self, request: web.Request) -> web.Response:
        if self.metrics is None:
            raise web.HTTPNotFound
        return web.Response(text=self.metrics())

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self.script(self, body)
        finally:
            self.in_flight -= 1


def prompt(text: str = "hello", **changes: Any) -> Prompt:
    decoding = Decoding(temperature=0.7, max_tokens=32)
    return Prompt(messages=(Message(role="user", content=text),), decoding=decoding, **changes)


async def opened(*servers: Server, policy: PoolPolicy = FAST) -> TeacherPool:
    return TeacherPool(await resolve([s.url for s in servers], "m"), {}, policy)


def in_flight(pool: TeacherPool) -> int:
    return sum(e.in_flight for e in pool.snapshot().endpoints)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
