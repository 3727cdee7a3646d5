"""How far the runs on a root are, read from the store alone.

Nothing is asked of Ray or of a driver, so the answer is right while a run is going on and after
everything has died.
"""

from dataclasses import asdict, dataclass

from manifests.commits import Commit, Ledger, read_commits

from manifests.errors import ConfigError
from manifests.stats import ShardStats
from manifests.store import Store
from pipelines.plan import RunNote, StepNote, read_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """How far one step is."""

    address: str
    kind: str
    slices: int
    committed: int
    ledger: Ledger
    stats: ShardStats
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far one run is."""

    run: str
    recipe: str
    steps: tuple[StepStatus, ...]

    @property
    def complete(self) -> bool:
        """Whether every task has committed."""
        return all(step.committed == step.slices for step in self.steps)


def run_status(store: Store, note: RunNote) -> RunStatus:
    """The state of a run."""
    steps = tuple(step_status(store, step) for step in note.steps)
    return RunStatus(run=note.run, recipe=note.recipe, steps=steps)


def step_status(store: Store, note: StepNote) -> StepStatus:
    """The state of a step, summed over its commits."""
    commits = list(read_commits(store, note.address))
    ledger = Ledger(planned=0, accepted=0, rejected={}, quarantined=0, rows=0)
    stats = ShardStats.empty()
    for commit in commits:
        ledger, stats = ledger + commit.ledger, stats + commit.stats
    return StepStatus(
        address=note.address,
        kind=note.kind,
        slices=note.slices,
        committed=len(commits),
        ledger=ledger,
        stats=stats,
        bytes=sum(commit.data.bytes for commit in commits),
    )


def find_run(store: Store, run: str | None) -> RunNote:
    """The run whose id begins so, or the only one.

    Raises:
        ConfigError: None or several; the message lists them.
    """
    runs = read_runs(store)
    if not runs:
        raise ConfigError(f"no run on {store.url}: start one with `python -m pipelines run`")
    found = [note for note in runs if run is None or note.run.startswith(run)]
    if len(found) != 1:
        known = ", ".join(f"{note.run} ({note.recipe})" for note in runs)
        raise ConfigError(f"which run? {run or 'no id'} fits {len(found)} of: {known}")
    return found[0]


def find_step(store: Store, name: str) -> tuple[str, list[Commit]]:
    """Address and commits of the step that `name` begins or names, with or without `steps/`.

    Raises:
        ConfigError: None or several; the message lists them.
    """
    known = sorted({step.address for note in read_runs(store) for step in note.steps})
    wanted = name.removeprefix("steps/").rstrip("/")
    short = {address: address.removeprefix("steps/") for address in known}
    found = [a for a in known if short[a] == wanted or short[a].split("@")[0] == wanted]
    found = found or [a for a in known if short[a].startswith(wanted)]
    if len(found) != 1:
        raise ConfigError(
            f"which step? {name!r} fits {len(found)} of: {', '.join(short.values()) or 'none'}"
        )
    return found[0], sorted(read_commits(store, found[0]), key=lambda commit: commit.slice_index)


def table(status: RunStatus, root: str) -> str:
    """A run's state for a person."""
    done = sum(step.committed for step in status.steps)
    tasks = sum(step.slices for step in status.steps)
    state = "complete" if status.complete else "not complete"
    lines = [f"run {status.run} ({status.recipe}) on {root}: {done}/{tasks} tasks, {state}"]
    head = ("step", "tasks", "planned", "accepted", "rejected", "rows", "tokens", "MB", "calls")
    rows = [_row(step) for step in status.steps]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        first, *rest = row
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    for step in status.steps:
        if step.ledger.rejected or step.ledger.quarantined:
            reasons = {**step.ledger.rejected, "quarantined": step.ledger.quarantined}
            told = ", ".join(f"{n} {reason}" for reason, n in reasons.items() if n)
            lines.append(f"rejected in {_short(step.address)}: {told}")
    return "\n".join(lines)


def as_json(status: RunStatus) -> dict[str, object]:
    """A run's state for a program."""
    return {
        "run": status.run,
        "recipe": status.recipe,
        "complete": status.complete,
        "steps": [
            {
                "address": step.address,
                "kind": step.kind,
                "slices": step.slices,
                "committed": step.committed,
                "ledger": asdict(step.ledger),
                "tokens": step.stats.tokens,
                "bytes": step.bytes,
                "calls": step.stats.teacher.calls,
            }
            for step in status.steps
        ],
    }


def _row(step: StepStatus) -> tuple[str, ...]:
    ledger = step.ledger
    numbers = (
        f"{step.committed}/{step.slices}",
        f"{ledger.planned:,}",
        f"{ledger.accepted:,}",
        f"{sum(ledger.rejected.values()) + ledger.quarantined:,}",
        f"{ledger.rows:,}",
        f"{step.stats.tokens:,}",
        f"{step.bytes / 1e6:,.2f}",
        f"{step.stats.teacher.calls:,}",
    )
    return (_short(step.address), *numbers)


def _short(address: str) -> str:
    name, _, digest = address.removeprefix("steps/").partition("/")
    return f"{name}/{digest[:8]}"
