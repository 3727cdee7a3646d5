"""Do two pieces of code behave alike? Asked of the sandbox in one program, on the same inputs.

Nothing here runs code: the program is `code_harness.py` as text, the code and its inputs travel as
JSON on its standard input, and its report is read from the last line it writes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ValidationError

from generators.code import Snippet
from generators.code_inputs import Case
from manifests.programs import Execute, Execution, Limits, Program

MIN_USABLE = 3
"""Inputs on which a comparison must rest, at least one of which returns [I]."""
LIMITS = Limits(wall_seconds=30.0, cpu_seconds=25)
"""Above the harness's own stops: two stopped calls of two seconds in each of three runs."""


class _Report(BaseModel):
    original: str
    regenerated: str
    cases: list[tuple[Literal["returned", "raised", "unusable"], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a regeneration compares with the original."""

    inputs: int
    """Usable inputs that were counted."""
    equal: float
    """Share of them with an equal outcome, 0 to 1."""


async def compare_behaviour(
    snippet: Snippet, regenerated: str, cases: Sequence[Case], execute: Execute
) -> Behaviour | None:
    """Compare by running; None where behaviour can't tell (too few inputs, not deterministic).

    Inputs on which the original raises count at most as often as those on which it returns: a
    function that refuses everything alike is not understood.

    Raises:
        SandboxUnavailable: Code is never run without a sandbox.
    """
    if not snippet.runnable or len(cases) < MIN_USABLE:
        return None
    task = {
        "original": snippet.code,
        "regenerated": regenerated,
        "name": snippet.name,
        "cases": [[list(asdict(step).values()) for step in case] for case in cases],
    }
    done = await execute(Program(source=_harness(), stdin=json.dumps(task), limits=LIMITS))
    return _read(done)


@cache
def _harness() -> str:
    return resources.files("generators").joinpath("code_harness.py").read_text("utf-8")


def _read(done: Execution) -> Behaviour | None:
    lines = done.stdout.strip().splitlines()
    try:
        report = _Report.model_validate_json(lines[-1] if lines else "")
    except ValidationError:
        # No report: the program was ended from outside. Whose fault that is, the stage tells.
        died = any('"stage"' in line for line in lines)
        return Behaviour(inputs=0, equal=0.0) if died else None
    returned = [equal for kind, equal in report.cases if kind == "returned"]
    raised = [equal for kind, equal in report.cases if kind == "raised"][: len(returned)]
    counted = returned + raised
    if len(counted) < MIN_USABLE:
        return None
    return Behaviour(inputs=len(counted), equal=sum(counted) / len(counted))
