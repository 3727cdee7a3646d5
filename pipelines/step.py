"""A step: what is made of what. It is inert; the runner makes it happen.

A step's address is `steps/<name>@<version>/<fingerprint>`, taken over name, version, work and the
addresses of its inputs. Where it runs and how big it runs are no part of it, so the same data has
the same address on a laptop and on a cluster.

Every step of a run is cut into the same slices, those of the run's inventory of source files, or
of the committed step that it reads: the task (step, slice) reads the slices of the same number of
the step's inputs. So the task list is a pure function of the plan, and a slice walks through all
steps without waiting for another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from manifests import layout
from manifests.commits import task_id
from manifests.fingerprint import fingerprint
from manifests.store import Store
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.work.organic import Organic
from pipelines.work.screen import Screen
from pipelines.work.take import Take
from pipelines.work.tokenize import Tokenize

Work = ReadDocuments | Organic | Generate | Screen | Take | Tokenize


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A step of an earlier run that is whole: it is read, and never run."""

    address: str
    slices: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node of a run's graph."""

    name: str
    version: int
    work: Work
    inputs: tuple["Step | Committed", ...] = ()

    @cached_property
    def address(self) -> str:
        """Where this step's data lies below the root."""
        work = self.work.identity() if isinstance(self.work, ReadDocuments) else self.work
        identity = [self.name, self.version, work, [step.address for step in self.inputs]]
        return f"steps/{self.name}@{self.version}/{fingerprint(identity)[:32]}"

    @property
    def made(self) -> tuple["Step", ...]:
        """Those of its inputs that are steps of the same run."""
        return tuple(needed for needed in self.inputs if isinstance(needed, Step))

    @cached_property
    def slices(self) -> int | None:
        """As many as the committed steps have that it reads; None for as many as the run has."""
        counts = (needed.slices for needed in self.inputs)
        return next((count for count in counts if count is not None), None)

    @property
    def asks_teacher(self) -> bool:
        """Whether its tasks are bound by the teacher."""
        return isinstance(self.work, Generate)


@dataclass(frozen=True, slots=True)
class Task:
    """One slice of one step: the unit that commits."""

    step: Step
    slice: int

    @property
    def id(self) -> str:
        """Names the task's commit."""
        return task_id(self.step.address, self.slice)


def in_order(ends: Sequence[Step]) -> tuple[Step, ...]:
    """All steps that `ends` need and they themselves, inputs first, each once."""
    found: dict[str, Step] = {}

    def visit(step: Step) -> None:
        for needed in step.made:
            visit(needed)
        found.setdefault(step.address, step)

    for end in ends:
        visit(end)
    return tuple(found.values())


def committed_tasks(store: Store, step: Step) -> set[str]:
    """The ids of the tasks of a step that have committed."""
    prefix = layout.commits_prefix(step.address)
    return {key.removeprefix(prefix).removesuffix(".json") for key in store.list(prefix)}


def tasks(steps: Sequence[Step], slices: int) -> Iterator[Task]:
    """Every task of a run: slice by slice, so that the first slices are soon whole."""
    for number in range(slices):
        for step in steps:
            yield Task(step, number)
