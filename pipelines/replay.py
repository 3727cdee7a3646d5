"""The questions behind a row: its method is run again over the stored answers.

Prompts are not stored, because they need not be: the method asks exactly the questions that it
asked, which also proves that the row can be made again. What it makes has to be the row, from the
very calls of the row's lineage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from generators.catalog import curator, generator
from generators.contract import Curator, Method, Tools, attempt
from generators.seeds.by_kind import ByKind
from manifests import layout
from manifests.completions import Completion, Prompt
from manifests.errors import ConfigError, DataError, NotInStore, PromptRefused
from manifests.programs import Execute
from manifests.records import Call, Record, Reject, Rejection, Seed
from manifests.segments import read_segments
from manifests.store import Store
from pipelines.show import Placed
from pipelines.work.outcome import POISON


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer; None where the teacher refused the question."""

    key: str
    teacher: str
    prompt: Prompt
    completion: Completion | None


@dataclass(slots=True)
class _Asked:
    """Answers a method from what is stored, and remembers what it asked."""

    stored: Mapping[str, Completion]
    teachers: Mapping[str, str]
    """By role."""
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    """By key, in the order of asking."""

    async def complete(self, prompt: Prompt) -> Completion:
        # A role that another model does not play is the writer's.
        teacher = self.teachers.get(prompt.role) or self.teachers["writer"]
        key = prompt.key(teacher)
        completion = self.stored.get(key)
        self.exchanges[key] = Exchange(key, teacher, prompt, completion)
        if completion is None:
            raise PromptRefused("no answer to this question is stored")
        return completion

    @property
    def answered(self) -> dict[str, str]:
        """Digest of the answer by key."""
        found = self.exchanges.values()
        return {e.key: e.completion.digest for e in found if e.completion is not None}


class _Note(BaseModel):
    """What step.json says about the teachers and the method."""

    method: str
    teachers: dict[str, str]


async def replay(store: Store, made: Placed, source: Placed, execute: Execute) -> list[Exchange]:
    """Everything that was asked to make a row, in the order of asking.

    Args:
        store: With the transcripts of the task that made the row.
        made: A seed, a record or a generator's reject.
        source: What the method was given.
        execute: The sandbox, for methods that run code.

    Raises:
        ConfigError: The run kept no transcripts, or the method is no longer in the catalog.
        DataError: The method, run again, asks or makes something else.
    """
    row, commit = made.row, made.commit
    assert isinstance(row, Seed | Record | Reject)
    if isinstance(row, Reject) and row.reason == POISON:
        raise ConfigError(
            f"{row.item_id} is in quarantine and has no outcome to show: {row.detail}"
        )
    note = _note(store, commit.step)
    prefix = layout.completions_prefix(commit.step, commit.task)
    stored = read_segments(store, prefix)
    if not stored and row.lineage:
        raise ConfigError(
            f"{commit.step} slice {commit.slice_index} has no transcripts (--drop-transcripts):"
            " what was asked cannot be shown; the digests of the lineage still hold"
        )
    asked = _Asked(stored, note.teachers)
    method: Method[Any, Any] = _method(note.method)
    outcome = await attempt(method, source.row, Tools(complete=asked.complete, execute=execute))
    problem = _difference(row, outcome) or _other_calls(row.lineage, asked)
    if problem:
        raise DataError(
            f"{note.method}, run again on {source.item_id} over the stored answers, {problem}: its"
            " code or its prompts are others than when the row was made"
        )
    return list(asked.exchanges.values())


def _note(store: Store, step: str) -> _Note:
    try:
        return _Note.model_validate_json(store.get(layout.step_file(step)))
    except (NotInStore, ValidationError) as error:
        raise DataError(f"{step}/step.json does not tell its method and its teachers") from error


def _method(name: str) -> Method[Any, Any]:
    """A generator of the catalog, or a curator of it, or two of them by kind."""
    prose, by_kind, code = name.partition("+")
    try:
        if by_kind:
            both: Curator = ByKind(prose=curator(prose), code=curator(code))
            return both
        return curator(name) if name.startswith("seeds_") else generator(name)
    except ConfigError as error:
        raise ConfigError(f"cannot run {name} again: {error}") from error


def _difference(row: Seed | Record | Reject, outcome: object) -> str:
    """How what came out differs from the row; empty if it does not."""
    if isinstance(row, Reject):
        if isinstance(outcome, Rejection):
            same = (row.reason, row.detail) == (outcome.reason.value, outcome.detail)
            return "" if same else f"rejects it for another reason ({outcome.reason})"
        return "does not reject it"
    if isinstance(outcome, Rejection):
        return f"gives no {type(row).__name__.lower()} ({outcome.reason}: {outcome.detail})"
    assert isinstance(outcome, list | tuple)
    ids = [one.id for one in outcome]
    return "" if row.id in ids else f"gives {', '.join(ids)} and not {row.id}"


def _other_calls(lineage: tuple[Call, ...], asked: _Asked) -> str:
    """How the calls differ from those of the lineage; empty if they do not."""
    recorded = {call.prompt: call.completion for call in lineage}
    if recorded == asked.answered:
        return ""
    missing = len(asked.exchanges) - len(asked.answered)
    also = f", {missing} of them without a stored answer" if missing else ""
    return (
        f"asks {len(asked.exchanges)} questions{also}, where the lineage names {len(recorded)} "
        f"answers, {len(recorded.items() & asked.answered.items())} of them the same"
    )
