"""Learning what is asked of each passage: equal questions get equal answers, so once is enough.

A method is run against a teacher that answers at once; calls that it makes before it has heard any
answer of theirs are one stage.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.teacher.methods import Method, seeds
from benchmarks.teacher.scenarios import Scenario
from generators.contract import Tools
from infra.simulated.answers import answer_to
from infra.simulated.chat import parse_ask
from infra.simulated.settings import Settings
from infra.teacher.models import Endpoint
from infra.teacher.wire import request_body
from manifests.completions import Completion, FinishReason, Prompt, Usage
from manifests.records import Seed

Chain = list[list[dict[str, Any]]]


class Listener:
    """Answers as the simulated teacher does, and remembers what it was asked."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self._endpoint, self._settings = endpoint, settings
        self.chain: Chain = []
        self.prompts: list[str] = []
        self._open = False

    async def complete(self, prompt: Prompt) -> Completion:
        body = request_body(prompt, self._endpoint)
        if not self._open:
            self.chain.append([])
            self._open = True
        self.chain[-1].append(body)
        await asyncio.sleep(0)
        self._open = False
        ask = parse_ask(json.dumps(body).encode(), self._settings, is_chat=True)
        self.prompts.append(ask.prompt)
        answer = answer_to(ask, (), self._settings)
        return Completion(
            text=answer.text,
            finish_reason=FinishReason(answer.finish_reason),
            teacher=self._endpoint.teacher.name,
            usage=Usage(),
        )


async def _execute(program: object) -> Any:
    raise AssertionError("these methods run no code")


async def _learned(method: Method, rows: Sequence[Seed], listeners: Sequence[Listener]) -> None:
    for row, listener in zip(rows, listeners, strict=True):
        await method(row, Tools(complete=listener.complete, execute=_execute))


def learn(scenario: Scenario, items: int, endpoint: Endpoint, path: Path) -> tuple[int, list[str]]:
    """Write the chains, a JSON line `[passage, stages]` each; how many calls, and their prompts."""
    rows = seeds(items, scenario.words)
    listeners = [Listener(endpoint, scenario.teacher) for _ in rows]
    asyncio.run(_learned(scenario.method, rows, listeners))
    with path.open("w") as lines:
        for row, listener in zip(rows, listeners, strict=True):
            lines.write(json.dumps([row.id, listener.chain]) + "\n")
    prompts = [prompt for listener in listeners for prompt in listener.prompts]
    return len(prompts), prompts
