"""Canaries: one small call that tells whether an endpoint is back before the others follow.

Before its canary an endpoint is asked again what it serves: what comes back after a restart may be
another model, and then it is not ours.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from infra.teacher.breaker import State
from infra.teacher.events import EventKind
from infra.teacher.group import Group
from infra.teacher.policy import PoolPolicy
from infra.teacher.replica import Replica
from infra.teacher.resolve import WrongModel, choose, list_models
from infra.teacher.transport import Transport
from infra.teacher.wire import Fault, FaultKind, read_reply, request_body
from manifests.completions import Decoding, Message, Prompt
from manifests.errors import PromptRefused, TeacherMisconfigured, TeacherUnavailable

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger(__name__)


class Prober:
    """Asks endpoints that are not well, until they answer."""

    def __init__(
        self,
        session: "aiohttp.ClientSession",
        transport: Callable[[Replica], Transport],
        policy: PoolPolicy,
    ) -> None:
        self._session, self._transport, self._policy = session, transport, policy
        self.canaries = 0
        self._calm_wait = policy.probe_seconds
        self._calm_at = float("-inf")

    async def recover(self, group: Group, replica: Replica) -> None:
        """Probe one endpoint until it may be used again."""
        state, wait = replica.breaker.state, self._policy.probe_seconds
        if state is not State.DEAD:
            await self._sleep(wait)
        while True:
            replica.breaker.open(State.HALF_OPEN, replica.breaker.detail)
            try:
                await self._verify(replica)
                await self._canary(replica)
                break
            except TeacherMisconfigured as error:
                wrong = isinstance(error, WrongModel)
                kind = EventKind.WRONG_MODEL if wrong else EventKind.LOST
                group.close_replica(replica, State.DEAD, str(error), kind)
                replica.misconfigured = True
                if all(r.misconfigured for r in group.replicas):
                    group.fail(error)
            except (Fault, PromptRefused, TeacherUnavailable, TimeoutError) as error:
                replica.breaker.open(state, str(error) or "the canary had no answer")
                replica.misconfigured = False
            await self._sleep(wait)
            wait = min(2 * wait, self._policy.probe_cap_seconds)
        replica.in_recovery = replica.misconfigured = False
        replica.has_metrics, replica.gauges = None, None
        group.open_replica(replica)

    async def until_calm(self, group: Group) -> None:
        """End a pause for want of retry budget with a canary; soon after another, wait longer."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._calm_at > 2 * self._policy.probe_cap_seconds:
            self._calm_wait = self._policy.probe_seconds
        while group.over_budget:
            await self._sleep(self._calm_wait)
            self._calm_wait = min(2 * self._calm_wait, self._policy.probe_cap_seconds)
            usable = group.usable
            if not usable:
                break  # Each endpoint has a canary of its own now.
            try:
                await self._canary(random.choice(usable))
                break
            except (Fault, PromptRefused, TeacherMisconfigured, TimeoutError) as error:
                _log.info("still paused (%s): %s", group.name, error)
        self._calm_at = loop.time()
        group.set_over_budget(False)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))

    async def _verify(self, replica: Replica) -> None:
        ours = replica.endpoint
        served = await list_models(self._session, ours.url)
        now = choose(ours.url, served, ours.teacher.name)
        if now.teacher != ours.teacher:
            raise WrongModel(f"{ours.url} serves {now.teacher} now and not {ours.teacher}")

    async def _canary(self, replica: Replica) -> None:
        self.canaries += 1
        decoding = Decoding(temperature=0.0, max_tokens=self._policy.canary_tokens)
        prompt = Prompt(messages=(Message(role="user", content="Say OK."),), decoding=decoding)
        body = request_body(prompt, replica.endpoint)
        async with asyncio.timeout(self._policy.canary_seconds):
            reply = await self._transport(replica).chat(replica.endpoint, body)
        try:
            read_reply(reply, replica.endpoint)
        except Fault as fault:
            if fault.kind is FaultKind.WRONG_MODEL:
                raise WrongModel(f"{replica.endpoint.url} does not answer: {fault}") from fault
            raise
