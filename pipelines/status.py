"""How far the runs on a root are, read from the store alone.

Nothing is asked of Ray or of a driver, so the answer is right while a run is going on and after
everything has died. It costs one listing a step (two while the step is open) and its commits.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from manifests.commits import Ledger, read_commits
from manifests.errors import ConfigError
from manifests.stats import ShardStats
from manifests.store import Store
from pipelines.answers import Kept, kept_answers
from pipelines.plan import RunNote, StepNote, read_runs
from pipelines.pool_events import Happened, read_events
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.work.organic import Organic
from pipelines.work.outcome import POISON
from pipelines.work.screen import Screen
from pipelines.work.spent import ACCEPTED
from pipelines.work.take import Take, Unit
from pipelines.work.tokenize import Tokenize


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """How far one step is."""

    note: StepNote
    committed: int
    ledger: Ledger
    stats: ShardStats
    bytes: int
    kept: Kept

    @property
    def address(self) -> str:
        return self.note.address

    @property
    def name(self) -> str:
        """`name@version`."""
        return self.address.split("/")[1]

    @property
    def short(self) -> str:
        """What `show` and `verify` know it by."""
        return f"{self.name}/{self.address.split('/')[2][:8]}"

    @property
    def have(self) -> int:
        """Of what a step that takes was asked for."""
        tokens = self.note.want is not None and self.note.want.unit is Unit.TOKENS
        return self.stats.tokens if tokens else self.ledger.rows

    @property
    def complete(self) -> bool:
        """Whether all slices have committed, or the amount is reached."""
        if self.note.want is not None:
            return self.have >= self.note.want.amount
        return self.committed == self.note.slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where the tokens went that teachers wrote for a step."""

    accepted: int
    """For the rows of the end."""
    rejected: Mapping[str, int]
    """By reason of the method."""
    gates: Mapping[str, int]
    """By reason of a gate."""
    quarantined: int
    beyond: int
    """For records that passed and are not wanted; there for whoever wants more."""
    unfinished: int
    """For stored answers of open tasks, and for what is not screened yet."""

    @property
    def charged(self) -> int:
        """What the accepted rows cost, with all that was lost on the way to them."""
        lost = sum(self.rejected.values()) + sum(self.gates.values())
        return self.accepted + lost + self.quarantined


def spent_by(step: StepStatus, screen: StepStatus | None, taken: StepStatus | None) -> Spent:
    """Where the tokens of a generate step went, by the commits of it and of those behind it."""
    rejected = dict(step.stats.spent)
    quarantined, written = rejected.pop(POISON, 0), rejected.pop(ACCEPTED, 0)
    gates = dict(screen.stats.spent) if screen else {ACCEPTED: written}
    passed = gates.pop(ACCEPTED, 0)
    accepted = taken.stats.spent.get(ACCEPTED, 0) if taken else passed
    return Spent(
        accepted=accepted,
        rejected=rejected,
        gates=gates,
        quarantined=quarantined,
        beyond=passed - accepted,
        unfinished=step.kept.tokens + written - passed - sum(gates.values()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One generator's part of a run, or the documents' that are records as they stand, or the
    records' that are tokenized.
    """

    generate: StepStatus
    screen: StepStatus | None
    """None in a run that does not screen."""
    taken: StepStatus | None = None
    """None where no amount is asked for."""

    @property
    def end(self) -> StepStatus:
        """The step whose rows are the generator's records."""
        return self.taken or self.screen or self.generate

    @property
    def steps(self) -> tuple[StepStatus, ...]:
        """Those that only this generator has."""
        found = (self.generate, self.screen, self.taken)
        return tuple(step for step in found if step is not None)

    @property
    def share(self) -> float | None:
        """Items that gave at least one written record, of those tried; None before the first."""
        ledger = self.generate.ledger
        return ledger.accepted / ledger.planned if ledger.planned else None

    @property
    def spent(self) -> Spent:
        """Where the teacher's tokens went."""
        return spent_by(self.generate, self.screen, self.taken)

    @property
    def cost(self) -> float | None:
        """Tokens that the teacher wrote for each token kept; None without either."""
        kept, charged = self.end.stats.tokens, self.spent.charged
        return charged / kept if kept and charged else None

    @property
    def record_cost(self) -> float | None:
        """Tokens that the teacher wrote for each record kept; None without either."""
        kept, charged = self.end.ledger.rows, self.spent.charged
        return charged / kept if kept and charged else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far one run is."""

    run: str
    recipe: str
    steps: tuple[StepStatus, ...]
    events: tuple[Happened, ...] = ()
    """What happened to its teachers, in order."""

    @property
    def complete(self) -> bool:
        """Whether every task has committed that the ends of the run need."""
        steps = {step.address: step for step in self.steps}
        needed = {a for step in self.steps for a in step.note.inputs}
        waiting = [step for step in self.steps if step.address not in needed]
        while waiting:
            step = waiting.pop()
            if not step.complete:
                return False
            if step.note.want is None:  # else what it has is there, whatever is left behind it
                waiting += [steps[a] for a in step.note.inputs if a in steps]
        return True

    @property
    def sources(self) -> tuple[StepStatus, ...]:
        """The steps that no generator's records come out of: documents and seeds."""
        own = {step.address for one in self.written for step in one.steps}
        return tuple(step for step in self.steps if step.address not in own)

    @property
    def written(self) -> tuple[Written, ...]:
        """What each generator came to, in the order of the run."""
        screens = self._behind(Screen.__name__)
        takes = self._behind(Take.__name__)
        kinds = {step.address: step.note.kind for step in self.steps}
        return tuple(
            Written(
                generate=step,
                screen=(screen := screens.get(step.address)),
                taken=takes.get(screen.address) if screen else None,
            )
            for step in self.steps
            if step.note.kind in (Organic.__name__, Tokenize.__name__)
            or (
                step.note.kind == Generate.__name__
                and not any(kinds.get(a) == ReadDocuments.__name__ for a in step.note.inputs)
            )
        )

    def _behind(self, kind: str) -> dict[str, StepStatus]:
        """The steps of a kind by the addresses of their inputs."""
        steps = (step for step in self.steps if step.note.kind == kind)
        return {address: step for step in steps for address in step.note.inputs}


def run_status(store: Store, note: RunNote) -> RunStatus:
    """The state of a run."""
    steps = tuple(step_status(store, step) for step in note.steps)
    events = tuple(read_events(store, note.run))
    return RunStatus(run=note.run, recipe=note.recipe, steps=steps, events=events)


def step_status(store: Store, note: StepNote) -> StepStatus:
    """The state of a step, summed over its commits."""
    commits = list(read_commits(store, note.address))
    ledger = Ledger(planned=0, accepted=0, rejected={}, quarantined=0, rows=0)
    stats = ShardStats.empty()
    for commit in commits:
        ledger, stats = ledger + commit.ledger, stats + commit.stats
    open_tasks = note.kind == Generate.__name__ and len(commits) < note.slices
    return StepStatus(
        note=note,
        committed=len(commits),
        ledger=ledger,
        stats=stats,
        bytes=sum(commit.data.bytes for commit in commits),
        kept=kept_answers(store, note.address, {c.task for c in commits}) if open_tasks else Kept(),
    )


def find_run(store: Store, run: str | None) -> RunNote:
    """The run whose id begins so or whose recipe this is, or the only one.

    Raises:
        ConfigError: None or several; the message lists them.
    """
    runs = read_runs(store)
    if not runs:
        raise ConfigError(f"no run on {store.url}: start one with `python -m pipelines run`")
    found = [note for note in runs if run is None or run == note.recipe or note.run.startswith(run)]
    if len(found) != 1:
        known = ", ".join(f"{note.run} ({note.recipe})" for note in runs)
        raise ConfigError(f"which run? {run or 'no id'} fits {len(found)} of: {known}")
    return found[0]


def find_step(store: Store, name: str) -> StepNote:
    """The step that `name` names or begins, with or without `steps/`.

    Raises:
        ConfigError: None or several; the message lists them.
    """
    runs = read_runs(store)
    if not runs:
        raise ConfigError(f"no run on {store.url}: start one with `python -m pipelines run`")
    known = {step.address: step for note in runs for step in note.steps}
    short = {address: address.removeprefix("steps/") for address in sorted(known)}
    wanted = name.removeprefix("steps/").rstrip("/")
    found = [a for a in short if short[a] == wanted or short[a].split("@")[0] == wanted]
    found = found or [a for a in short if short[a].startswith(wanted)]
    if len(found) != 1:
        problem = f"{len(found)} steps fit" if found else "there is no step"
        listed = ", ".join(_abridged(short[address]) for address in found or short)
        raise ConfigError(f"{problem} {name!r} on {store.url}; steps: {listed}")
    return known[found[0]]


def _abridged(short: str) -> str:
    """`name@version` and enough of the fingerprint."""
    name, _, fingerprint = short.partition("/")
    return f"{name}/{fingerprint[:8]}"


def as_json(status: RunStatus) -> dict[str, object]:
    """A run's state for a program."""
    return {
        "run": status.run,
        "recipe": status.recipe,
        "complete": status.complete,
        "records": sum(one.end.ledger.rows for one in status.written),
        "tokens": sum(one.end.stats.tokens for one in status.written),
        "steps": [_step_json(step) for step in status.steps],
        "events": [asdict(event) for event in status.events],
        "generators": [
            {
                "name": one.generate.name,
                "step": one.end.address,
                "items": one.generate.ledger.planned,
                "written": one.generate.ledger.rows,
                "records": one.end.ledger.rows,
                "tokens": one.end.stats.tokens,
                "yield": one.share,
                "teacher_tokens_per_token": one.cost,
                "teacher_tokens_per_record": one.record_cost,
                "spent": asdict(one.spent),
                "want": _want_json(one.taken),
            }
            for one in status.written
        ],
    }


def _want_json(taken: StepStatus | None) -> dict[str, object] | None:
    if taken is None or taken.note.want is None:
        return None
    want = taken.note.want
    return {"amount": want.amount, "unit": want.unit, "have": taken.have, "reached": taken.complete}


def _step_json(step: StepStatus) -> dict[str, object]:
    usage = step.stats.teacher
    return {
        "address": step.address,
        "kind": step.note.kind,
        "slices": step.note.slices,
        "committed": step.committed,
        "ledger": asdict(step.ledger),
        "tokens": step.stats.tokens,
        "tokenizer": step.stats.tokenizer,
        "bytes": step.bytes,
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "spent": step.stats.spent,
        "kept": asdict(step.kept),
    }
