"""What a run will ask of its teacher, before it asks: calls, tokens, hours, GPU-hours.

Where the root already holds commits of a step like it, the numbers are measured there and scaled by
slices. Elsewhere they follow from the sources' sizes and the method's own fields, with assumptions
where these say nothing [I]; such an estimate is marked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generators.seeds.inventory import Inventory
from manifests.commits import Commit
from manifests.errors import ConfigError
from pipelines.effort import RECORD_TOKENS, effort
from pipelines.plan import Plan
from pipelines.step import Step
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.work.screen import Screen

DOCUMENT_BYTES = 4000.0
"""Source bytes of a document [I]; a Python file has about one definition in so many."""

Measured = Mapping[str, Sequence[Commit]]
"""Commits to measure at, by step address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one generate step will take."""

    step: str
    name: str
    """Of its method."""
    items: float
    calls: float
    prompt_tokens: float
    answer_tokens: float
    rows: float
    kept_tokens: float | None
    """Of the records that pass the gates; None for a step that makes seeds."""
    assumed: bool


def estimates(plan: Plan, measured: Measured) -> list[Estimate]:
    """What every generate step of a plan will take, in the order of the plan."""
    rows: dict[str, float] = {}
    found: list[Estimate] = []
    for step in plan.steps:
        if isinstance(step.work, ReadDocuments):
            rows[step.address] = _documents(step.work, plan, measured[step.address])
        elif isinstance(step.work, Generate):
            items = rows[step.inputs[0].address]
            one = _measured(step, step.work, plan, measured) or _assumed(step, step.work, items)
            found.append(one)
            rows[step.address] = one.rows
    return found


def _documents(work: ReadDocuments, plan: Plan, measured: Sequence[Commit]) -> float:
    if measured:
        return sum(commit.ledger.rows for commit in measured) * plan.slices / len(measured)
    slices = Inventory.from_json(plan.inventory).slices(work.slice_bytes)
    sizes = [sum(unit.weight for unit in units) / DOCUMENT_BYTES for units in slices]
    most = work.max_documents or float("inf")
    return sum(min(most, max(1.0, size)) for size in sizes)


def _measured(step: Step, work: Generate, plan: Plan, measured: Measured) -> Estimate | None:
    commits = measured[step.address]
    if not any(commit.ledger.planned for commit in commits):
        return None
    scale = plan.slices / len(commits)
    usage = [commit.stats.teacher for commit in commits]
    return Estimate(
        step=step.address,
        name=work.method.name,
        items=scale * sum(commit.ledger.planned for commit in commits),
        calls=scale * sum(used.calls for used in usage),
        prompt_tokens=scale * sum(used.prompt_tokens for used in usage),
        answer_tokens=scale * sum(used.completion_tokens for used in usage),
        rows=scale * sum(commit.ledger.rows for commit in commits),
        kept_tokens=_kept(step, plan, measured) if work.makes == "record" else None,
        assumed=False,
    )


def _kept(step: Step, plan: Plan, measured: Measured) -> float:
    """Tokens behind the gates where those are measured too, else of what was written."""
    screens = (s for s in plan.steps if isinstance(s.work, Screen) and step in s.inputs)
    screen = next(screens, None)
    commits = (measured[screen.address] if screen else ()) or measured[step.address]
    return sum(commit.stats.tokens for commit in commits) * plan.slices / len(commits)


def _assumed(step: Step, work: Generate, items: float) -> Estimate:
    each = effort(work.method)
    rows = items * each.rows
    return Estimate(
        step=step.address,
        name=work.method.name,
        items=items,
        calls=items * each.calls,
        prompt_tokens=items * each.prompt_tokens,
        answer_tokens=items * each.answer_tokens,
        rows=rows,
        kept_tokens=rows * RECORD_TOKENS if work.makes == "record" else None,
        assumed=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a run costs at a measured speed."""

    scale: float
    """How many times this plan makes the tokens asked for."""
    written_tokens: float
    kept_tokens: float
    tokens_a_second: float
    gpus: int
    hours: float
    gpu_hours: float


def bill(
    found: Sequence[Estimate], *, tokens_a_second: float, gpus: int, target_tokens: float | None
) -> Bill:
    """Hours at `tokens_a_second` (written by the teacher, each GPU).

    With `target_tokens`, of a run that is as many times this plan as it takes to keep so many.

    Raises:
        ConfigError: Nothing was kept where it was measured, so there is no scale to a target.
    """
    written = sum(e.answer_tokens for e in found)
    kept = sum(e.kept_tokens or 0.0 for e in found)
    if target_tokens and not kept:
        raise ConfigError("--target-tokens: by what was measured this run keeps no tokens at all")
    scale = target_tokens / kept if target_tokens else 1.0
    gpu_hours = scale * written / tokens_a_second / 3600
    return Bill(
        scale=scale,
        written_tokens=scale * written,
        kept_tokens=scale * kept,
        tokens_a_second=tokens_a_second,
        gpus=gpus,
        hours=gpu_hours / gpus,
        gpu_hours=gpu_hours,
    )
