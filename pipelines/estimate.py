"""What a run will ask of its teacher, before it asks: calls, tokens, hours, GPU-hours.

Where the root already holds commits of a step's generator, the numbers are measured there: calls
and tokens an item, items a slice. Elsewhere they are the assumptions below [I], and the plan says
so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from manifests.commits import Commit

from pipelines.step import Step
from pipelines.work.generate import Generate

ITEMS_A_SLICE = 20.0
"""Assumed where nothing was measured [I]."""
CALLS_AN_ITEM = 5.0
PROMPT_TOKENS_A_CALL = 900.0
ANSWER_TOKENS_A_CALL = 300.0
YIELD = 0.5
RECORD_TOKENS = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one generate step will take."""

    name: str
    tasks: int
    items: float
    calls: float
    prompt_tokens: float
    answer_tokens: float
    records: float
    record_tokens: float
    measured: bool


def estimate(step: Step, slices: int, measured: Sequence[Commit]) -> Estimate:
    """What `step` will take over `slices`, from the commits of a step like it."""
    work = step.work
    assert isinstance(work, Generate)
    if not measured or not any(c.ledger.planned for c in measured):
        items = ITEMS_A_SLICE * slices
        calls = items * CALLS_AN_ITEM
        return Estimate(
            name=work.method.name,
            tasks=slices,
            items=items,
            calls=calls,
            prompt_tokens=calls * PROMPT_TOKENS_A_CALL,
            answer_tokens=calls * ANSWER_TOKENS_A_CALL,
            records=items * YIELD,
            record_tokens=items * YIELD * RECORD_TOKENS if work.makes == "record" else 0.0,
            measured=False,
        )
    scale = slices / len(measured)
    usage = [c.stats.teacher for c in measured]
    return Estimate(
        name=work.method.name,
        tasks=slices,
        items=scale * sum(c.ledger.planned for c in measured),
        calls=scale * sum(u.calls for u in usage),
        prompt_tokens=scale * sum(u.prompt_tokens for u in usage),
        answer_tokens=scale * sum(u.completion_tokens for u in usage),
        records=scale * sum(c.ledger.rows for c in measured),
        record_tokens=scale * sum(c.stats.tokens for c in measured),
        measured=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a run costs at a measured speed."""

    scale: float
    """How many times this plan makes the tokens asked for."""
    hours: float
    gpu_hours: float


def bill(
    estimates: Sequence[Estimate], *, tokens_a_second: float, gpus: int, target_tokens: float | None
) -> Bill:
    """Hours at `tokens_a_second` (written by the teacher, each GPU).

    With `target_tokens`, of a run that is as many times this plan as it takes to accept so many.
    """
    asked = sum(e.answer_tokens for e in estimates)
    made = sum(e.record_tokens for e in estimates)
    scale = target_tokens / made if target_tokens and made else 1.0
    gpu_hours = scale * asked / tokens_a_second / 3600
    return Bill(scale=scale, hours=gpu_hours / gpus, gpu_hours=gpu_hours)
