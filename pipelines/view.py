"""How plans, runs and rows look in a terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from manifests.records import Record, Reject, Seed, SeedDocument
from pipelines import status
from pipelines.estimate import Bill, Estimate
from pipelines.plan import Plan

RULE = "─" * 80


def run_text(found: status.RunStatus, root: str) -> str:
    """What a run came to, and how to look at it."""
    lines = [status.table(found, root)]
    shown = next((s for s in reversed(found.steps) if s.ledger.rows), None)
    if shown:
        step = shown.address.removeprefix("steps/").partition("/")[0]
        lines += [
            f"shards: {root}/{shown.address}/data",
            f"look at some: python -m pipelines show {step.partition('@')[0]} --root {root}",
            f"prove them: python -m manifests verify {shown.address} --inputs --root {root}",
        ]
    return "\n".join(lines)


def plan_json(plan: Plan, estimates: Sequence[Estimate], cost: Bill | None) -> str:
    """A plan for a program."""
    steps = [
        {"address": step.address, "inputs": [needed.address for needed in step.inputs]}
        for step in plan.steps
    ]
    return json.dumps(
        {
            "run": plan.run,
            "tasks": plan.slices * len(plan.steps),
            "slices": plan.slices,
            "steps": steps,
            "estimates": [asdict(e) for e in estimates],
            "bill": asdict(cost) if cost else None,
        }
    )


def plan_text(plan: Plan, estimates: Sequence[Estimate], cost: Bill | None) -> str:
    """A plan for a person."""
    lines = [
        f"run {plan.run} ({plan.recipe}): {len(plan.steps)} steps of {plan.slices} slices, "
        f"{len(plan.steps) * plan.slices} tasks; nothing was written"
    ]
    for step in plan.steps:
        lines.append(f"  {step.address}")
    lines.append(
        f"{'method':32} {'items':>10} {'calls':>10} {'asked':>14} {'written':>14} {'kept':>12}"
    )
    for e in estimates:
        lines.append(
            f"{e.name:32.32} {e.items:10,.0f} {e.calls:10,.0f} {e.prompt_tokens:14,.0f} "
            f"{e.answer_tokens:14,.0f} {e.record_tokens:12,.0f}"
            f"{'' if e.measured else '  (assumed, not measured)'}"
        )
    if cost:
        lines.append(
            f"{cost.hours:,.1f} hours, {cost.gpu_hours:,.1f} GPU-hours"
            + (f", {cost.scale:,.0f} times these sources" if cost.scale != 1.0 else "")
        )
    return "\n".join(lines)


def row_text(row: object) -> str:
    """A row with its lineage."""
    match row:
        case Record():
            calls = "".join(
                f"\n  {c.role:10} prompt {c.prompt[:12]} answer {c.completion[:12]} by {c.teacher}"
                for c in row.lineage
            )
            scores = ", ".join(f"{k} {v:.2f}" for k, v in sorted(row.scores.items()))
            return (
                f"{RULE}\n{row.text}\n{RULE}\nrecord {row.id} by {row.generator} ({row.bucket}, "
                f"{row.tokens} tokens, {row.lang}, licence {row.licence})\n"
                f"seeds {', '.join(row.seed_ids)}\nscores {scores}\ncalls{calls}"
            )
        case Seed():
            return (
                f"{RULE}\n{row.text}\n{RULE}\nseed {row.id} from {row.url} lines {row.start_line}-"
                f"{row.end_line}: {row.domain}/{row.topic}; educational {row.page_edu}, factual "
                f"{row.passage_factual}, reasoning {row.passage_reasoning}\n{row.tags}"
            )
        case SeedDocument():
            return f"{RULE}\n{row.text[:2000]}\n{RULE}\ndocument {row.id} {row.url} ({row.licence})"
        case Reject():
            return f"{row.item_id} {row.reason} by {row.by}: {row.detail}\n    {row.text[:200]!r}"
    return str(row)
