"""The teacher pool: every call of a run goes through here, and nothing else retries.

`complete` takes a slot, makes one attempt and gives the slot back; what may go better is tried
again elsewhere, inside a budget. Beside the calls run one watcher an endpoint (limit and pulse) and
one prober an endpoint that is not well. An outage pauses calls; it fails none.
"""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from infra.teacher.breaker import State
from infra.teacher.events import EventKind, EventLog
from infra.teacher.group import Group
from infra.teacher.idle import IdleSlots, Place
from infra.teacher.models import Endpoint
from infra.teacher.policy import PoolPolicy
from infra.teacher.probe import Prober
from infra.teacher.replica import Replica
from infra.teacher.roles import cast_roles
from infra.teacher.snapshot import PoolSnapshot, endpoint_snapshot
from infra.teacher.transport import DirectTransport, HostedTransport, Transport, open_session
from infra.teacher.watch import watch
from infra.teacher.wire import Fault, FaultKind, read_reply, request_body
from manifests.completions import Completion, Prompt
from manifests.errors import ConfigError, PromptRefused, TeacherUnavailable

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger(__name__)
_STOPPING = "the teacher pool is stopping: run again to resume"
_OVERLOAD = {FaultKind.RATE_LIMITED, FaultKind.UNAVAILABLE, FaultKind.TIMEOUT}
_PERHAPS_THE_PROMPT = {
    FaultKind.CONNECTION,
    FaultKind.TIMEOUT,
    FaultKind.STALL,
    FaultKind.SERVER,
}


@dataclass(slots=True)
class _Tries:
    """What happened to one call so far."""

    malformed: int = 0
    hard: int = 0
    retries: int = 0
    avoid: Replica | None = None


class TeacherPool:
    """Calls to the teachers of a run; use it as an async context manager."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        roles: Mapping[str, str],
        policy: PoolPolicy | None = None,
    ) -> None:
        """Args:
        endpoints: From `resolve`; of several teachers if roles differ.
        roles: Role to teacher, `model@revision` or the model alone; a role without an entry is
            played by `writer`, and `writer` may be left out when there is one teacher only.

        Raises:
            ConfigError: A role's teacher has no endpoint.
        """
        self._policy = policy or PoolPolicy()
        by_teacher: dict[str, list[Replica]] = {}
        for endpoint in endpoints:
            replica = Replica(endpoint, self._policy)
            by_teacher.setdefault(endpoint.teacher.name, []).append(replica)
        self._events = EventLog()
        self.idle = IdleSlots()
        self._groups = {
            name: Group(name, replicas, self._policy, self._events, self.idle)
            for name, replicas in by_teacher.items()
        }
        self._roles = cast_roles(roles, list(by_teacher))
        self._requests = self._retries = self._active = 0
        self._idle = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._session: aiohttp.ClientSession = open_session(self._policy)
        self._direct: Transport = DirectTransport(self._session, self._policy)
        self._hosted: Transport | None = None
        self._prober = Prober(self._session, self._transport, self._policy)
        for group in self._groups.values():
            for replica in group.replicas:
                self._watch(group, replica)
        return self

    def _watch(self, group: Group, replica: Replica) -> None:
        if replica.endpoint.hosted and self._hosted is None:
            self._hosted = HostedTransport(self._policy)
        replicas = sum(len(group.replicas) for group in self._groups.values())
        every = self._policy.scrape_seconds * max(1.0, replicas / 32)
        self._spawn(watch(self._session, group, replica, self._lose, every))

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def join(self, endpoints: Sequence[Endpoint]) -> None:
        """Use these as well from now on; those that are there already are left alone.

        Raises:
            ConfigError: One serves a teacher that has no part in the run.
        """
        for endpoint in endpoints:
            group = self._groups.get(endpoint.teacher.name)
            if group is None:
                ours = ", ".join(self._groups)
                raise ConfigError(
                    f"{endpoint.url} serves {endpoint.teacher.name}, and the run asks {ours}"
                )
            if all(replica.endpoint.url != endpoint.url for replica in group.replicas):
                replica = Replica(endpoint, self._policy)
                group.join_replica(replica)
                self._watch(group, replica)

    def teacher_of(self, role: str) -> str:
        """`model@revision` that plays this role."""
        return self._roles.get(role, self._roles["writer"])

    async def complete(self, prompt: Prompt, *, affinity: str) -> Completion:
        """The teacher's answer.

        Args:
            prompt: What is asked; its role decides which teacher answers.
            affinity: The record's id: its calls share prefixes, so they share a replica.

        Raises:
            PromptRefused: This prompt will not be answered.
            TeacherMisconfigured: No prompt will be answered.
            TeacherUnavailable: Stopped, or given up as the policy says.
        """
        self._check_open()
        self._requests += 1
        self._active += 1
        try:
            return await self._until_answered(prompt, affinity)
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def _until_answered(self, prompt: Prompt, affinity: str) -> Completion:
        group = self._groups[self.teacher_of(prompt.role)]
        group.budget.earn()
        tries = _Tries()
        while True:
            self._check_open()
            replica, lease = await group.acquire(affinity, prompt.role, tries.avoid)
            try:
                self._check_open()
                return await self._attempt(replica, prompt)
            except Fault as fault:
                failed = fault
                self._note(group, replica, fault)
            finally:
                group.release(replica, lease)
            await self._before_retry(group, replica, failed, tries)

    async def _attempt(self, replica: Replica, prompt: Prompt) -> Completion:
        loop = asyncio.get_running_loop()
        body = request_body(prompt, replica.endpoint)
        started = loop.time()
        try:
            async with asyncio.timeout(replica.deadline(prompt.decoding.max_tokens)) as deadline:
                replica.deadlines.add(deadline)
                try:
                    reply = await self._transport(replica).chat(replica.endpoint, body)
                finally:
                    replica.deadlines.discard(deadline)
        except TimeoutError as error:
            self._check_open()
            kind = FaultKind.STALL if replica.cut_at >= started else FaultKind.TIMEOUT
            raise Fault(kind, f"no answer in {loop.time() - started:.0f} s") from error
        try:
            completion = read_reply(reply, replica.endpoint)
        except PromptRefused:
            replica.errors["refused"] += 1
            replica.breaker.answered(True)
            raise
        replica.breaker.answered(True)
        replica.answered(completion.usage, loop.time() - started)
        return completion

    def _transport(self, replica: Replica) -> Transport:
        return self._hosted if replica.endpoint.hosted and self._hosted else self._direct

    def _note(self, group: Group, replica: Replica, fault: Fault) -> None:
        """What a failed attempt says of the endpoint."""
        replica.errors[fault.kind.value] += 1
        _log.debug("%s: %s", replica.endpoint.url, fault)
        if fault.kind in _OVERLOAD:
            replica.limiter.overloaded(asyncio.get_running_loop().time())
        if fault.kind is FaultKind.RATE_LIMITED:
            replica.rate_limits += 1
            group.hold(replica, self._backoff(replica.rate_limits))
        if fault.retry_after is not None:
            group.hold(replica, min(fault.retry_after, self._policy.max_retry_after_seconds))
        if fault.kind is FaultKind.WRONG_MODEL:
            self._lose(group, replica, State.DEAD, str(fault), EventKind.WRONG_MODEL)
        elif fault.kind is not FaultKind.RATE_LIMITED and replica.breaker.answered(False):
            self._lose(group, replica, State.OPEN, f"too many calls failed, the last with {fault}")

    def _lose(
        self,
        group: Group,
        replica: Replica,
        state: State,
        detail: str,
        kind: EventKind = EventKind.LOST,
    ) -> None:
        """Stop using a replica and probe until it is back."""
        if replica.in_recovery:
            return
        replica.in_recovery = True
        group.close_replica(replica, state, detail, kind)
        self._spawn(self._prober.recover(group, replica))

    async def _before_retry(
        self, group: Group, replica: Replica, fault: Fault, tries: _Tries
    ) -> None:
        """Decide whether there is another attempt, and wait for its time without a slot."""
        tries.malformed += fault.kind is FaultKind.MALFORMED
        tries.hard += fault.kind in _PERHAPS_THE_PROMPT
        policy = self._policy
        if tries.malformed >= policy.max_malformed or tries.hard >= policy.max_attempts:
            count = max(tries.malformed, tries.hard)
            raise PromptRefused(f"{group.name}: {count} attempts failed, the last with {fault}")
        tries.avoid = replica
        tries.retries += 1
        self._retries += 1
        if not replica.usable:
            return  # Displaced, not retried: the endpoint is gone, and this happens once a loss.
        if not group.budget.spend():
            if not group.over_budget:
                group.set_over_budget(True)
                self._spawn(self._prober.until_calm(group))
            return
        with suppress(TimeoutError), self.idle.at(Place.RETRYING):
            async with asyncio.timeout(self._backoff(tries.retries)):
                await self._stopping.wait()

    def _backoff(self, times: int) -> float:
        """Exponential, with full jitter."""
        longest = self._policy.backoff_base_seconds * 2.0 ** min(times, 16)
        return random.uniform(0, min(longest, self._policy.backoff_cap_seconds))

    def snapshot(self) -> PoolSnapshot:
        """What the pool is doing now."""
        groups, now = self._groups.values(), time.monotonic()
        paused = [g.paused_since for g in groups if g.paused_since is not None]
        return PoolSnapshot(
            endpoints=tuple(endpoint_snapshot(r, now) for g in groups for r in g.replicas),
            paused_since=min(paused, default=None),
            queue=sum(g.waiting for g in groups),
            requests=self._requests,
            retries=self._retries,
            canaries=self._prober.canaries,
            events=self._events.last,
            idle=self.idle.told(),
        )

    async def drain(self) -> None:
        """Start no more calls, fail those that wait, and let those in flight end."""
        self._close_door()
        while self._active:
            self._idle.clear()
            await self._idle.wait()

    async def stop(self) -> None:
        """Cut what is in flight (the engines abort it) and close everything."""
        self._close_door()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for group in self._groups.values():
            group.forget_give_up()
            for replica in group.replicas:
                replica.cut_calls()
        await self.drain()
        if self._hosted is not None:
            await self._hosted.close()
        await self._session.close()

    def _close_door(self) -> None:
        self._stopping.set()
        for group in self._groups.values():
            group.fail(TeacherUnavailable(_STOPPING))

    def _check_open(self) -> None:
        if self._stopping.is_set():
            raise TeacherUnavailable(_STOPPING)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a watcher of the teacher pool failed", exc_info=task.exception())
