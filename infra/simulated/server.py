"""The simulated teacher as a server: routes, and what ties HTTP, engine, answers and faults."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infra.simulated.answers import AnswerRule, answer_to
from infra.simulated.chat import Answer, Ask, BadRequest, error_body, models_body, parse_ask
from infra.simulated.engine import Engine, Job
from infra.simulated.faults import Fault, FaultKind, FaultScript, parse_faults, read_faults
from infra.simulated.http import Connection, Exchange
from infra.simulated.metrics import Counts, prometheus, stats
from infra.simulated.patterns import Unsupported
from infra.simulated.replies import Stream, reply_whole, spoilt, streams
from infra.simulated.settings import Settings
from manifests.errors import ConfigError

_RULES = TypeAdapter(tuple[AnswerRule, ...])
_BACKLOG = 4096


class _Control(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    down: bool


class Server:
    """One simulated replica."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._engine = Engine(settings, loop)
        self._counts = Counts()
        self._faults: list[Fault] = []
        self._rules: tuple[AnswerRule, ...] = ()
        self._down = False
        self._connections: set[Connection] = set()
        self._routes: dict[str, tuple[str, Callable[[Exchange], None]]] = {
            "/v1/chat/completions": ("POST", partial(self._complete, is_chat=True)),
            "/v1/completions": ("POST", partial(self._complete, is_chat=False)),
            "/v1/models": ("GET", lambda e: e.reply(200, models_body(settings))),
            "/health": ("GET", lambda e: e.reply(200, b"")),
            "/metrics": ("GET", self._show_metrics),
            "/simulated/stats": ("GET", self._show_stats),
            "/simulated/reset": ("POST", self._reset),
            "/simulated/faults": ("POST", self._set_faults),
            "/simulated/rules": ("POST", self._set_rules),
            "/simulated/control": ("POST", self._control),
        }
        self.set_faults(read_faults(settings.faults))

    def connect(self) -> Connection:
        """A new connection's protocol."""
        self._counts.connections += 1
        return Connection(self._handle, self._connections)

    def set_faults(self, faults: list[Fault]) -> None:
        """Replace the fault script; its clock and its count of requests start anew."""
        self._faults = faults
        self._script = FaultScript(faults, self._settings.seed)
        self._script_start = time.monotonic()

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if self._down and not request.path.startswith("/simulated/"):
            self._counts.turned_away += request.path.endswith("completions")
            exchange.reset()
            return
        method, serve = self._routes.get(request.path, ("", None))
        if serve is None:
            exchange.reply(404, error_body(404, "Not Found", "NotFoundError"))
        elif method != request.method:
            exchange.reply(405, error_body(405, "Method Not Allowed", "BadRequestError"))
        else:
            serve(exchange)

    def _complete(self, exchange: Exchange, *, is_chat: bool) -> None:
        try:
            ask = parse_ask(exchange.request.body, self._settings, is_chat=is_chat)
        except BadRequest as bad:
            self._reject(exchange, bad)
            return
        self._counts.arrived(ask.identity)
        seconds = (time.monotonic() - self._script_start) / self._settings.time_scale
        fault = self._script.next(seconds, ask.prompt)
        if fault is not None:
            self._counts.errors[fault.kind.value] += 1
            if self._fails_at_once(exchange, fault):
                return
        try:
            answer = spoilt(answer_to(ask, self._rules, self._settings), fault)
        except Unsupported as unsupported:
            self._reject(exchange, BadRequest(400, f"response_format: {unsupported}"))
            return
        self._submit(exchange, ask, answer, fault)

    def _reject(self, exchange: Exchange, bad: BadRequest) -> None:
        self._counts.rejected += 1
        self._counts.replied()
        exchange.reply(bad.status, bad.body)

    def _fails_at_once(self, exchange: Exchange, fault: Fault) -> bool:
        if fault.kind is FaultKind.RESET:
            exchange.reset()
        elif status := fault.kind.status:
            retry = fault.retry_after
            headers = [] if retry is None else [f"retry-after: {retry:g}"]
            body = error_body(status, "a scripted fault", "SimulatedFault")
            exchange.reply(status, body, headers=headers)
        else:
            return False
        self._counts.replied()
        return True

    def _submit(self, exchange: Exchange, ask: Ask, answer: Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        counts, model = self._counts, self._settings.model
        stream = Stream(exchange, ask, answer, model, fault) if streams(ask, fault) else None

        def done(job: Job) -> None:
            exchange.on_disconnect = None
            counts.in_flight -= 1
            counts.answered += 1
            counts.finished[answer.finish_reason] += 1
            counts.prompt_tokens += ask.prompt_tokens
            counts.completion_tokens += answer.tokens
            counts.service_seconds += job.ends - job.started
            if stream is not None:
                stream.finish(job)
            else:
                reply_whole(exchange, ask, answer, job, model, fault)
            counts.replied()

        job = Job(
            prompt=ask.prompt,
            completion_tokens=answer.tokens,
            on_done=done,
            on_start=stream.start if stream is not None else None,
            slowdown=fault.times if fault is not None and kind is FaultKind.SLOW else 1.0,
            hangs=kind is FaultKind.HANG,
        )

        def cancel() -> None:
            counts.in_flight -= 1
            counts.cancelled += 1
            if stream is not None:
                stream.stop()
            self._engine.cancel(job)

        exchange.on_disconnect = cancel
        counts.entered()
        self._engine.submit(job)

    def _show_metrics(self, exchange: Exchange) -> None:
        text = prometheus(self._counts, self._engine, self._settings.model)
        exchange.reply(200, text, content_type="text/plain; version=0.0.4; charset=utf-8")

    def _show_stats(self, exchange: Exchange) -> None:
        figures = stats(self._counts, self._engine, self._settings.slots)
        exchange.reply(200, json.dumps(figures).encode())

    def _reset(self, exchange: Exchange) -> None:
        """Counts to zero, cache empty, the script from its beginning; faults and rules stay."""
        before, self._counts = self._counts, Counts()
        self._counts.in_flight = before.in_flight
        self._engine.reset()
        self.set_faults(self._faults)
        exchange.reply(200, b"{}")

    def _set_faults(self, exchange: Exchange) -> None:
        try:
            self.set_faults(parse_faults(exchange.request.body))
        except ConfigError as error:
            exchange.reply(400, error_body(400, str(error), "BadRequestError"))
            return
        exchange.reply(200, b"{}")

    def _set_rules(self, exchange: Exchange) -> None:
        try:
            self._rules = _RULES.validate_json(exchange.request.body)
        except ValidationError as error:
            exchange.reply(400, error_body(400, f"rules: {error}", "BadRequestError"))
            return
        exchange.reply(200, b"{}")

    def _control(self, exchange: Exchange) -> None:
        try:
            self._down = _Control.model_validate_json(exchange.request.body).down
        except ValidationError as error:
            exchange.reply(400, error_body(400, f"control: {error}", "BadRequestError"))
            return
        if self._down:
            for connection in self._connections - {exchange.connection}:
                connection.reset()
        exchange.reply(200, b"{}")


async def serve(settings: Settings, *, until_stdin_closes: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; says on standard output when it is ready, and where.

    Raises:
        ConfigError: The address cannot be had, or the fault script is wrong.
    """
    loop = asyncio.get_running_loop()
    server = Server(settings, loop)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        listener = await loop.create_server(
            server.connect, settings.host, settings.port, backlog=_BACKLOG
        )
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ConfigError(f"cannot listen on {where}: {error.strerror}") from error
    if until_stdin_closes:
        stdin = sys.stdin.fileno()
        loop.add_reader(stdin, lambda: None if os.read(stdin, 64) else stop.set())
    port = listener.sockets[0].getsockname()[1]
    sys.stdout.write(f"ready http://{settings.host}:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    listener.close()
