"""What a generator is: an async function of one row and its tools.

Loops, votes, critics and conversations are plain Python. A generator touches no network, disk or
clock: it asks through `tools.complete` and runs model-written code through `tools.execute`, so a
test passes scripted ones, and a crash is survived by running it again over stored completions.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from manifests.completions import Completion, Prompt
from manifests.errors import PromptRefused
from manifests.programs import Execute
from manifests.records import Reason, Record, Rejection, Seed, SeedDocument

Complete = Callable[[Prompt], Awaitable[Completion]]
"""Asks the teacher; durable and replayable when the runtime passes it.

Raises PromptRefused when the teacher will never answer this prompt; generators let it pass, the
runtime turns it into a Rejection.
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything a generator may do to the world."""

    complete: Complete
    execute: Execute


In = TypeVar("In", SeedDocument, Seed, contravariant=True)
Out = TypeVar("Out", Seed, Record, covariant=True)


class Method(Protocol[In, Out]):
    """A frozen dataclass whose fields, prompt texts among them, are its identity."""

    @property
    def name(self) -> str:
        """`name@version`."""

    async def __call__(self, row: In, tools: Tools, /) -> Sequence[Out] | Rejection:
        """The rows made of `row`, at least one, or why there are none."""


Generator = Method[Seed, Record]
Curator = Method[SeedDocument, Seed]


class Declined(Exception):
    """Raised inside a method when a row gives nothing; `attempt` turns it into a Rejection."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.rejection = Rejection(reason=reason, detail=detail)


async def attempt(method: Method[In, Out], row: In, tools: Tools) -> Sequence[Out] | Rejection:
    """Run a method on a row; whatever declines the row comes back as a Rejection."""
    try:
        return await method(row, tools)
    except Declined as declined:
        return declined.rejection
    except PromptRefused as refused:
        return Rejection(reason=Reason.TEACHER_ERROR, detail=str(refused))
    except ExceptionGroup as group:
        first = _first(group)
        if isinstance(first, Declined):
            return first.rejection
        if isinstance(first, PromptRefused):
            return Rejection(reason=Reason.TEACHER_ERROR, detail=str(first))
        raise first from group


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """What counts of the errors of calls made side by side: a bug before a refusal."""
    _, bugs = group.split((Declined, PromptRefused))
    first: Exception = bugs or group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first
