"""A plan: the steps of a run, the slices they are cut into, and what they were asked with.

A plan is a value: made from a recipe, its arguments and the inventory of its source files. Its run
id names it, so the same command twice is the same run, and `status` needs nothing but the store.
"""

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from manifests import layout
from manifests.errors import ConfigError, DataError
from manifests.fingerprint import canonical_json, content_id, fingerprint, sha256
from manifests.store import Store
from pipelines.step import Step, committed_tasks, in_order, tasks
from pipelines.work.generate import Generate
from pipelines.work.take import Take, Unit

REPOSITORY = Path(__file__).parents[1]
DATA_PACKAGES = ("manifests", "generators", "filters", "pipelines/work")
"""The code that decides about bytes: a step is finished by the code that began it."""
MANIFEST_CODE = (
    "manifests/__main__.py",
    "manifests/build/",
    "manifests/cli/",
    "manifests/documents.py",
    "manifests/export/",
    "manifests/interleave.py",
    "manifests/levels/",
    "manifests/locate/",
    "manifests/mixtures/",
    "manifests/objects/",
    "manifests/order.py",
    "manifests/packing.py",
    "manifests/permutation.py",
    "manifests/resolve/",
    "manifests/segment_order.py",
    "manifests/select/",
    "manifests/signatures.py",
    "manifests/spec/",
    "manifests/survivors.py",
    "manifests/views/",
    "manifests/windows.py",
)
"""Of these packages, what only reads what steps have committed: it decides about no shard."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a run will do."""

    recipe: str
    arguments: Mapping[str, str]
    ends: tuple[Step, ...]
    slices: int
    """Of the steps that read no committed step."""
    inventory: bytes
    """Canonical JSON of the inventory; kept in the store under its sha256."""
    tokenizer_file: Path | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, inputs first."""
        return in_order(self.ends)

    def slices_of(self, step: Step) -> int:
        """Into how many slices one of its steps is cut."""
        return self.slices if step.slices is None else step.slices

    @property
    def tasks(self) -> int:
        """Of all steps."""
        return sum(map(self.slices_of, self.steps))

    @property
    def run(self) -> str:
        """The run's id: equal plans are one run."""
        return content_id("run", self.recipe, *(step.address for step in self.steps))[:16]


class WantNote(BaseModel):
    """The amount at which a step that takes ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: int
    unit: Unit


class StepNote(BaseModel):
    """One step as a run's plan and the step's own file name it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str
    inputs: tuple[str, ...]
    slices: int
    kind: str
    want: WantNote | None = None
    """None for a step that takes every slice whole."""


class RunNote(BaseModel):
    """A run's plan as it lies in the store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    recipe: str
    arguments: dict[str, str]
    steps: tuple[StepNote, ...]


def notes(plan: Plan) -> tuple[StepNote, ...]:
    """The plan's steps as notes."""
    return tuple(
        StepNote(
            address=step.address,
            inputs=tuple(needed.address for needed in step.inputs),
            slices=plan.slices_of(step),
            kind=type(step.work).__name__,
            want=_want(step),
        )
        for step in plan.steps
    )


def _want(step: Step) -> WantNote | None:
    take = step.work
    return WantNote(amount=take.amount, unit=take.unit) if isinstance(take, Take) else None


def record_plan(store: Store, plan: Plan, *, accept_code: bool) -> None:
    """Put the plan into the store: inventory, steps, run.

    Raises:
        ConfigError: A step on this root was begun by another version of the code.
    """
    key = layout.inventory_file(sha256(plan.inventory))
    if not store.exists(key):
        store.put(key, plan.inventory)
    code = code_version()
    for step, note in zip(plan.steps, notes(plan), strict=True):
        about = note.model_dump(exclude_none=True)
        about |= {**_method(step), "work": repr_work(step), "code": code, **provenance()}
        if note.want:
            del about["slices"]  # said by `close_taken`: nobody knows now how many it takes
        if not store.create(layout.step_file(step.address), canonical_json(about)):
            _same_code(store, step, plan.slices_of(step), code, accept_code)
    run = RunNote(
        run=plan.run, recipe=plan.recipe, arguments=dict(plan.arguments), steps=notes(plan)
    )
    store.create(layout.run_file(plan.run), canonical_json(run.model_dump(exclude_none=True)))


def _same_code(store: Store, step: Step, slices: int, code: str, accept_code: bool) -> None:
    """Refuse to finish with this code what other code began; what is complete is left alone."""
    begun = json.loads(store.get(layout.step_file(step.address)))
    if begun.get("code") == code or accept_code:
        return
    if isinstance(step.work, Take):
        slices = begun.get("slices", slices)
    if not committed_tasks(store, step) >= {task.id for task in tasks([step], slices)}:
        raise ConfigError(
            f"{step.address} was begun by other code ({begun.get('code', '?')[:12]}, this is "
            f"{code[:12]}): give the step or its generator a new version, or run with "
            "--accept-code-change if the change does not touch what it writes"
        )


def close_taken(store: Store, step: Step, slices: int) -> None:
    """Say in the step's own file that it is whole with so many slices: its amount is reached."""
    key = layout.step_file(step.address)
    about = json.loads(store.get(key))
    store.put(key, canonical_json({**about, "slices": slices}))


def _method(step: Step) -> dict[str, object]:
    """What it takes to run a step's method again over its stored answers."""
    if not isinstance(step.work, Generate):
        return {}
    return {"method": step.work.method.name, "teachers": dict(step.work.teachers)}


def repr_work(step: Step) -> str:
    """A step's work in one line, for people."""
    return f"{step.work!r:.2000}"


@cache
def code_version() -> str:
    """Identity of the code that decides about bytes, as it was when first asked for."""
    files = {
        path.relative_to(REPOSITORY).as_posix(): path
        for package in DATA_PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.suffix in (".py", ".md") and "__pycache__" not in path.parts
    }
    deciding = sorted(name for name in files if not name.startswith(MANIFEST_CODE))
    return fingerprint([[name, sha256(files[name].read_bytes())] for name in deciding])


def provenance() -> dict[str, object]:
    """Who ran what, from which commit; recorded, never fingerprinted."""
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=False)
        commit = done.stdout.strip() if done.returncode == 0 else "unknown"
    except OSError:
        commit = "unknown"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {"commit": commit, "user": user, "argv": [Path(sys.argv[0]).name, *sys.argv[1:]]}


def read_runs(store: Store) -> Sequence[RunNote]:
    """The plans of all runs on this root."""
    found = []
    for key in store.list("runs/"):
        try:
            found.append(RunNote.model_validate_json(store.get(key)))
        except ValidationError as error:
            raise DataError(
                f"{store.url}/{key}: not a run's plan ({error.error_count()} errors)"
            ) from error
    return found
