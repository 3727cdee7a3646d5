"""How plans look, in a terminal and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.estimate import Bill, Estimate
from pipelines.plan import Plan
from pipelines.view import columns


def plan_json(plan: Plan, estimates: Sequence[Estimate], cost: Bill | None) -> str:
    """A plan for a program."""
    steps = [
        {
            "address": step.address,
            "inputs": [needed.address for needed in step.inputs],
            "tasks": plan.slices_of(step),
        }
        for step in plan.steps
    ]
    return json.dumps(
        {
            "run": plan.run,
            "recipe": plan.recipe,
            "arguments": dict(plan.arguments),
            "tasks": plan.tasks,
            "slices": plan.slices,
            "steps": steps,
            "estimates": [asdict(e) for e in estimates],
            "bill": asdict(cost) if cost else None,
        }
    )


def plan_text(plan: Plan, estimates: Sequence[Estimate], cost: Bill | None) -> str:
    """A plan for a person."""
    lines = [
        f"run {plan.run} ({plan.recipe}): {len(plan.steps)} steps of {_slices(plan)} slices, "
        f"{plan.tasks:,} tasks; nothing was written",
        "",
    ]
    by_step = {e.step: e for e in estimates}
    head = ("step", "tasks", "items", "calls", "asked", "written", "rows", "kept tokens", "")
    rows = [_planned_row(s.address, plan.slices_of(s), by_step.get(s.address)) for s in plan.steps]
    lines += columns([head, *rows, _planned_total(plan, estimates)])
    if any(e.assumed for e in estimates):
        lines += [
            "",
            "assumed: nothing measured; loops run to their end, and half of all items fail",
            "(run a few slices and give --root to plan from what they took)",
        ]
    return "\n".join([*lines, *_bill_text(cost)])


def _slices(plan: Plan) -> str:
    counts = sorted(set(map(plan.slices_of, plan.steps)))
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _planned_row(address: str, tasks: int, estimate: Estimate | None) -> tuple[str, ...]:
    name, start = address.split("/")[1:]
    step = f"{name}/{start[:8]}"
    if estimate is None:
        return (step, f"{tasks:,}", *[""] * 7)
    e = estimate
    numbers = (e.items, e.calls, e.prompt_tokens, e.answer_tokens, e.rows)
    kept = f"{e.kept_tokens:,.0f}" if e.kept_tokens is not None else ""
    how = "assumed" if e.assumed else "measured"
    return (step, f"{tasks:,}", *(f"{n:,.0f}" for n in numbers), kept, how)


def _planned_total(plan: Plan, estimates: Sequence[Estimate]) -> tuple[str, ...]:
    return (
        "total",
        f"{plan.tasks:,}",
        "",
        f"{sum(e.calls for e in estimates):,.0f}",
        f"{sum(e.prompt_tokens for e in estimates):,.0f}",
        f"{sum(e.answer_tokens for e in estimates):,.0f}",
        "",
        f"{sum(e.kept_tokens or 0.0 for e in estimates):,.0f}",
        "",
    )


def _bill_text(cost: Bill | None) -> list[str]:
    if cost is None:
        return []
    lines = [
        "",
        f"{cost.hours:,.1f} hours, {cost.gpu_hours:,.1f} GPU-hours: {cost.written_tokens:,.0f} "
        f"tokens written for {cost.kept_tokens:,.0f} kept,",
        f"on {cost.gpus:,} GPUs at {cost.tokens_a_second:,.0f} tokens a second each",
    ]
    if cost.scale != 1.0:
        lines.append(f"that many tokens take {cost.scale:,.1f} times these sources")
    return lines
