"""Real runs without Ray: the tasks' own functions, called one after another in this process."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from manifests.exits import run
from manifests.index import build_index
from manifests.store import Store, open_store
from manifests.tokenizers import Tokenizer, keep_tokenizer
from pipelines import overrides
from pipelines.cli import cli
from pipelines.commands import make_plan, named_tokenizer
from pipelines.plan import Plan, code_version, record_plan
from pipelines.recipes.catalog import recipe
from pipelines.recipes.flow import Setting
from pipelines.step import Step
from pipelines.teachers import NOBODY, Teachers, find_teachers
from pipelines.work.generate import Generate, GenerateTask, run_generate
from pipelines.work.outcome import commit_outcome
from pipelines.work.take import Take
from pipelines.worker import Worker, WorkerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A run and where it lies."""

    root: str
    plan: Plan

    @property
    def store(self) -> Store:
        return open_store(self.root)

    def step(self, name: str) -> Step:
        (step,) = (step for step in self.plan.steps if step.name == name)
        return step


def planned(name: str, arguments: list[str], teachers: Teachers) -> Plan:
    """A recipe's plan, as the command makes it."""
    values = overrides.parse(name, recipe(name), arguments)
    setting = Setting(teachers=tuple(sorted(teachers.roles.items())), tokenizer=Tokenizer())
    made = recipe(name)(setting, **values)
    return Plan(
        recipe=name,
        arguments=overrides.shown(values),
        ends=made.ends,
        slices=made.slices,
        inventory=made.inventory,
    )


def make_run(
    root: Path | str,
    teacher: str,
    *arguments: str,
    name: str = "quickstart",
    keep_transcripts: bool = True,
    until: Callable[[Step, int], bool] = lambda step, slice_index: True,
) -> Made:
    """Run a recipe's tasks for which `until` holds."""
    teachers = find_teachers([teacher], None, {})
    plan = planned(name, list(arguments), teachers)
    store = open_store(str(root))
    record_plan(store, plan, accept_code=False)
    config = WorkerConfig(
        root=str(root),
        endpoints=teachers.endpoints,
        roles=teachers.roles,
        code=code_version(),
        items_in_flight=16,
    )
    todo = [(s, i) for s in plan.steps for i in range(plan.slices_of(s)) if until(s, i)]
    asyncio.run(_run_tasks(config, todo, keep_transcripts))
    return Made(root=str(root), plan=plan)


async def _run_tasks(config: WorkerConfig, todo: list[tuple[Step, int]], keep: bool) -> None:
    worker = Worker(config)
    await worker.start()
    try:
        for step, slice_index in todo:
            if not isinstance(step.work, Generate):
                assert not isinstance(step.work, Take)
                inputs = [needed.address for needed in step.inputs]
                outcome = step.work.run(worker.store, inputs, slice_index)
                commit_outcome(worker.store, step.address, slice_index, outcome)
                continue
            task = GenerateTask(
                work=step.work,
                step=step.address,
                input_step=step.inputs[0].address,
                slice=slice_index,
                keep_transcripts=keep,
            )
            await run_generate(task, worker)
    finally:
        await worker.stop()


def make_tokens(root: Path | str, file: Path, *arguments: str, index: bool = False) -> Made:
    """Run the recipe `tokenize` on what lies on a root, with the tokenizer in this file."""
    store = open_store(str(root))
    values = overrides.parse("tokenize", recipe("tokenize"), list(arguments))
    tokenizer = named_tokenizer(str(file))
    made = Made(root=str(root), plan=make_plan("tokenize", values, NOBODY, tokenizer, store=store))
    commit_maps(store, made.plan, index=index)
    return made


def commit_maps(store: Store, plan: Plan, *, index: bool = False) -> None:
    """Run a plan of map tasks alone."""
    record_plan(store, plan, accept_code=False)
    if plan.tokenizer_file:
        keep_tokenizer(store, plan.tokenizer_file)
    for step in plan.steps:
        for number in range(plan.slices_of(step)):
            assert not isinstance(step.work, Generate | Take)
            inputs = [needed.address for needed in step.inputs]
            outcome = step.work.run(store, inputs, number)
            commit_outcome(store, step.address, number, outcome)
        if index:
            build_index(store, step.address)


class Command:
    """`python -m pipelines ...` in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = patch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        self._patch.setattr(sys, "argv", ["pipelines", *arguments])
        with pytest.raises(SystemExit) as ended:
            run(cli)
        out, err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    def succeeds(self, *arguments: str) -> str:
        """What it printed."""
        code, out, err = self(*arguments)
        assert code == 0, err
        return out

    def refuses(self, *arguments: str, code: int = 2) -> str:
        """The one line that it printed on stderr, and nothing on stdout."""
        got, out, err = self(*arguments)
        assert (got, out) == (code, ""), err
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("error: ")
        return lines[0]
