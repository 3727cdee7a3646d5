"""How runs look in a terminal."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from pipelines.pool_events import Happened
from pipelines.status import RunStatus, Spent, StepStatus, Written, spent_by

SHOWN_EVENTS = 12


def run_text(found: RunStatus, root: str) -> str:
    """What a run came to, and how to look at it."""
    given = f"--root {shlex.quote(root)}"
    return "\n".join([run_table(found, root), *_lost(found, given), *_hints(found, root, given)])


def run_table(found: RunStatus, root: str) -> str:
    """A run in numbers: its sources, its generators, what was rejected and why."""
    done, tasks = sum(s.committed for s in found.steps), sum(s.note.slices for s in found.steps)
    state = "complete" if found.complete else "not complete"
    lines = [f"run {found.run} ({found.recipe}) on {root}: {state}, {done} of {tasks} tasks", ""]
    head = ("step", "tasks", "items", "accepted", "rejected", "rows", "calls")
    if found.sources:
        lines += [*columns([head, *(_source_row(step) for step in found.sources)]), ""]
    if found.written:
        lines += columns([_WRITTEN, *map(_written_row, found.written), _total(found.written)])
        gated = any(one.screen for one in found.written)
        kept = "records: what the gates kept of what was written; " if gated else ""
        lines += ["", f"{kept}{_counted(found)}"]
    lines += _wanted(found.written) + _spent(found)
    lines += [*_rejected(found.steps), *_kept(found.steps), *_events(found.events)]
    return "\n".join(lines)


_WRITTEN = (
    "generator",
    "tasks",
    "items",
    "accepted",
    "rejected",
    "yield",
    "written",
    "records",
    "tokens",
    "calls",
    "cost",
    "a record",
)


def _wanted(written: Sequence[Written]) -> list[str]:
    lines = []
    for one in written:
        if one.taken and (want := one.taken.note.want):
            beyond = one.screen.ledger.rows - one.taken.ledger.rows if one.screen else 0
            state = "reached" if one.taken.complete else "not reached"
            lines.append(
                f"  {one.generate.name}: {one.taken.have:,} of {want.amount:,} {want.unit.value},"
                f" {state}; {beyond:,} records beyond what is taken"
            )
    return ["", "wanted", *lines] if lines else []


def _spent(found: RunStatus) -> list[str]:
    """Where the teacher's tokens went, the most first."""
    told = [(step.name, spent_by(step, None, None)) for step in found.sources]
    told += [(one.generate.name, one.spent) for one in found.written]
    told = [(name, spent) for name, spent in told if spent.charged or spent.unfinished]
    width = max((len(name) for name, _ in told), default=0)
    lines = [f"  {name:{width}}  {_went(spent)}" for name, spent in told]
    return ["", "where the teacher's tokens went", *lines] if lines else []


def _went(spent: Spent) -> str:
    gates = {f"{reason} at the gates": tokens for reason, tokens in spent.gates.items()}
    lost = {**spent.rejected, **gates, "quarantined": spent.quarantined}
    lost |= {"beyond what is wanted": spent.beyond, "unfinished": spent.unfinished}
    most = sorted(((tokens, name) for name, tokens in lost.items() if tokens), reverse=True)
    return ", ".join(f"{tokens:,} {name}" for tokens, name in [(spent.accepted, "accepted"), *most])


def _source_row(step: StepStatus) -> tuple[str, ...]:
    ledger = step.ledger
    return (
        step.name,
        f"{step.committed:,}/{step.note.slices:,}",
        f"{ledger.planned:,}",
        f"{ledger.accepted:,}",
        f"{_refused(step):,}",
        f"{ledger.rows:,}",
        f"{step.stats.teacher.calls:,}",
    )


def _written_row(one: Written) -> tuple[str, ...]:
    steps = [one.generate, *([one.screen] if one.screen else [])]
    ledger = one.generate.ledger
    return (
        one.generate.name,
        f"{sum(s.committed for s in steps):,}/{sum(s.note.slices for s in steps):,}",
        f"{ledger.planned:,}",
        f"{ledger.accepted:,}",
        f"{_refused(one.generate):,}",
        "-" if one.share is None else f"{one.share:.0%}",
        f"{ledger.rows:,}",
        f"{one.end.ledger.rows:,}",
        f"{one.end.stats.tokens:,}",
        f"{one.generate.stats.teacher.calls:,}",
        "-" if one.cost is None else f"{one.cost:.2f}",
        "-" if one.record_cost is None else f"{one.record_cost:,.0f}",
    )


def _total(written: Sequence[Written]) -> tuple[str, ...]:
    kept = sum(one.end.stats.tokens for one in written)
    records = sum(one.end.ledger.rows for one in written)
    spent = sum(one.spent.charged for one in written)
    return (
        "total",
        *[""] * 5,
        f"{sum(one.generate.ledger.rows for one in written):,}",
        f"{records:,}",
        f"{kept:,}",
        f"{sum(one.generate.stats.teacher.calls for one in written):,}",
        f"{spent / kept:.2f}" if kept and spent else "-",
        f"{spent / records:,.0f}" if records and spent else "-",
    )


def _counted(found: RunStatus) -> str:
    tokenizers = {one.end.stats.tokenizer for one in found.written} - {""}
    if not tokenizers:
        return "cost: tokens the teacher wrote for each\ntoken kept"
    by = ", ".join(sorted(tokenizers))
    if "utf8-bytes@1" in tokenizers:
        by += " (one a byte; --tokenizer FILE counts real ones)"
    return f"cost: tokens the teacher wrote for each\ntoken kept; tokens counted by {by}"


def _refused(step: StepStatus) -> int:
    return sum(step.ledger.rejected.values()) + step.ledger.quarantined


def _reasons(step: StepStatus) -> str:
    reasons = {**step.ledger.rejected, "quarantined": step.ledger.quarantined}
    most = sorted(((n, reason) for reason, n in reasons.items() if n), reverse=True)
    return ", ".join(f"{n:,} {reason}" for n, reason in most)


def _rejected(steps: Sequence[StepStatus]) -> list[str]:
    told = [(f"  {step.name}", _reasons(step)) for step in steps if _refused(step)]
    width = max((len(name) for name, _ in told), default=0)
    lines = [f"{name:{width}}  {reasons}" for name, reasons in told]
    return ["", "rejected, and why", *lines] if lines else []


def _kept(steps: Sequence[StepStatus]) -> list[str]:
    lines = [
        f"  {step.name}: {step.kept.segments:,} segments of {step.kept.tasks:,} tasks"
        for step in steps
        if step.kept.segments
    ]
    return ["", "answers kept of tasks that have not committed", *lines] if lines else []


def _events(events: Sequence[Happened]) -> list[str]:
    """The last things that happened to the teachers."""
    lines = [
        f"  {datetime.fromtimestamp(event.at, UTC):%Y-%m-%d %H:%M:%S}Z  {event.kind.value:11}"
        f"  {event.url} ({event.teacher}){_seen(event)}"
        for event in events[-SHOWN_EVENTS:]
    ]
    if len(events) > SHOWN_EVENTS:
        lines.insert(0, f"  {len(events) - SHOWN_EVENTS:,} before; --json has them all")
    return ["", "what happened to the teachers", *lines] if lines else []


def _seen(event: Happened) -> str:
    detail = f": {event.detail}" if event.detail else ""
    return f" seen by {event.workers} workers{detail}" if event.workers > 1 else detail


def _lost(found: RunStatus, given: str) -> list[str]:
    """Which steps lost everything that came in, where no record came out of the whole run."""
    if not found.complete or any(one.end.ledger.rows for one in found.written):
        return []
    lines = [""]
    for step in found.steps:
        planned = step.ledger.planned
        if planned and not step.ledger.rows:
            lines += [
                f"no records: {step.name} refused all {planned:,} items ({_reasons(step)})",
                f"  see python -m pipelines show {step.short} --rejects {given}",
            ]
        elif not planned and not step.note.inputs:
            lines.append(f"no records: {step.name} found no documents in the sources")
    return lines


def _hints(found: RunStatus, root: str, given: str) -> list[str]:
    ends = [one.end for one in found.written if one.end.ledger.rows]
    if not ends:
        return []
    lines = ["", f"shards below {root}", *(f"  {end.address}/data" for end in ends), ""]
    lines.append(f"look at some  python -m pipelines show {ends[0].short} {given}")
    refusing = next((step for step in found.steps if _refused(step)), None)
    if refusing:
        lines.append(f"why rejected  python -m pipelines show {refusing.short} --rejects {given}")
    verify = f"python -m manifests step verify {ends[0].short} --inputs {given}"
    return [*lines, f"prove them    {verify}"]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
