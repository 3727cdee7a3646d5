"""A plan is a value: the same on every machine, another when anything about the data is another."""

import ast
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from filters.contract import Gate
from filters.text import Text
from generators.seeds.sources import Format, Source
from manifests import layout
from manifests.errors import ConfigError
from manifests.records import Kind, Reason
from manifests.store import open_store
from manifests.tokenizers import Tokenizer
from pipelines.plan import (
    DATA_PACKAGES,
    MANIFEST_CODE,
    Plan,
    code_version,
    read_runs,
    record_plan,
)
from pipelines.step import Step, Task
from pipelines.teachers import Teachers
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.work.screen import Screen
from tests.pipelines.committed_run import Command, planned

MODEL = "teacher@r1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """A method that is never called."""

    name: str = "echo@1"
    rounds: int = 2
    share: float = 0.5


def tiny() -> Plan:
    source = Source(
        name="s",
        url="/somewhere",
        format=Format.TEXT,
        licence="CC0-1.0",
        lang="en",
        kind=Kind.PROSE,
    )
    read = ReadDocuments(sources=(source,), inventory="ab" * 32, slice_bytes=1000)
    method: Any = Echo()
    teachers = (("writer", MODEL),)
    curate = Generate(method=method, makes="seed", teachers=teachers, tokenizer=Tokenizer())
    gate = Gate(filter=Text(measure="words"), low=50, reason=Reason.TOO_SHORT)
    screen = Screen(gates=(gate,), tokenizer="utf8-bytes@1")
    documents = Step(name="documents", version=1, work=read)
    seeds = Step(name="seeds", version=1, work=curate, inputs=(documents,))
    last = Step(name="screened", version=3, work=screen, inputs=(seeds,))
    return Plan(recipe="tiny", arguments={}, ends=(last,), slices=2, inventory=b"{}")


def test_the_addresses_of_a_tiny_plan_are_these() -> None:
    """Committed data lies under them: if this changes, everybody's data is orphaned."""
    plan = tiny()
    assert [step.address for step in plan.steps] == [
        "steps/documents@1/aa89a3f97153741c6e338ead1487addf",
        "steps/seeds@1/ae8b55bf2250a0ba06aea4f6e9193862",
        "steps/screened@3/0b5afd41f734e1b5758a5fabb57631dd",
    ]
    assert plan.run == "462dec0a91975d1c"
    assert Task(plan.steps[0], 1).id == "b1c902da8f10c6b0168ee1ae5cd84b76"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "documents"
    folder.mkdir(parents=True)
    for number in range(3):
        texts = (f"Ship {number}{part} sailed from the harbour at noon." for part in range(4))
        lines = [json.dumps({"text": text}) for text in texts]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def plan_of(folder: Path | str, *more: str, model: str = MODEL) -> Plan:
    arguments = [f"prose={folder}", "prose_format=jsonl", "generators=rewrite_quick@1"]
    arguments += ["slice_bytes=200", *more]
    return planned("synthesize", arguments, Teachers(roles={"writer": model}))


def addresses(plan: Plan) -> list[str]:
    return [step.address for step in plan.steps]


def test_a_plan_is_the_same_wherever_its_documents_lie(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "another" / "machine"
    shutil.copytree(sources, there)
    os.utime(there / "0.jsonl", (1, 1))
    first, second = plan_of(sources), plan_of(there)
    monkeypatch.chdir(there.parent)
    third = plan_of("machine")
    assert addresses(first) == addresses(second) == addresses(third)
    assert first.run == second.run == third.run
    assert first.inventory == second.inventory == third.inventory


def test_the_documents_are_the_same_wherever_they_lie(sources: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere"
    shutil.copytree(sources, there)
    tables: list[list[pa.Table]] = []
    for plan in (plan_of(sources), plan_of(there)):
        store = open_store(str(tmp_path / plan.run / str(len(tables))))
        record_plan(store, plan, accept_code=False)
        read = plan.steps[0].work
        assert isinstance(read, ReadDocuments)
        tables.append([read.run(store, (), number).table for number in range(plan.slices)])
    assert tables[0] == tables[1]
    assert sum(table.num_rows for table in tables[0]) == 12


def test_a_changed_document_is_another_plan(sources: Path) -> None:
    before = plan_of(sources)
    text = (sources / "1.jsonl").read_text()
    (sources / "1.jsonl").write_text(text.replace("Ship 10", "Boat 10"))
    after = plan_of(sources)
    assert after.run != before.run
    assert not set(addresses(after)) & set(addresses(before))


@pytest.mark.parametrize(
    ("more", "model", "same"),
    [
        ((), "teacher@r2", ["documents"]),
        (("prose_curator=seeds_quick@1",), MODEL, ["documents"]),
        (("generators=revise_quick@1",), MODEL, ["documents", "seeds"]),
        (("licence=MIT",), MODEL, []),
    ],
    ids=["teacher", "curator", "generator", "licence"],
)
def test_only_the_steps_behind_a_change_get_another_address(
    sources: Path, more: tuple[str, ...], model: str, same: list[str]
) -> None:
    before = {step.name: step.address for step in plan_of(sources).steps}
    arguments = [f"prose={sources}", "prose_format=jsonl", "slice_bytes=200"]
    if not any(text.startswith("generators") for text in more):
        arguments.append("generators=rewrite_quick@1")
    changed = planned("synthesize", [*arguments, *more], Teachers(roles={"writer": model}))
    after = {step.name: step.address for step in changed.steps}
    assert [name for name in before if before[name] == after.get(name)] == same


def test_planning_writes_nothing(
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root"
    record_plan(open_store(str(root)), plan_of(sources), accept_code=False)
    before = sorted(path for path in tmp_path.rglob("*"))
    monkeypatch.chdir(sources)
    command = Command(monkeypatch, capsys)
    arguments = ["plan", "synthesize", "prose=.", "prose_format=jsonl", "--model", MODEL]
    for place in (root, tmp_path / "not-there"):
        told = json.loads(command.succeeds(*arguments, "--root", str(place), "--json"))
        assert told["slices"] == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_the_same_plan_is_one_run_and_a_step_begun_by_other_code_is_refused(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "root"))
    plan = plan_of(sources)
    record_plan(store, plan, accept_code=False)
    record_plan(store, plan, accept_code=False)
    assert [note.run for note in read_runs(store)] == [plan.run]

    monkeypatch.setattr("pipelines.plan.code_version", lambda: "f" * 64)
    with pytest.raises(ConfigError, match="was begun by other code"):
        record_plan(store, plan, accept_code=False)
    record_plan(store, plan, accept_code=True)


def test_a_step_that_other_code_finished_is_used_as_it_is(tmp_path: Path) -> None:
    store, plan = open_store(str(tmp_path)), tiny()
    record_plan(store, plan, accept_code=False)
    first = plan.steps[0].address
    note = json.loads(store.get(layout.step_file(first)))
    store.put(layout.step_file(first), json.dumps({**note, "code": "0" * 64}).encode())
    for task in (Task(plan.steps[0], 0), Task(plan.steps[0], 1)):
        with pytest.raises(ConfigError, match="begun by other code"):
            record_plan(store, plan, accept_code=False)
        store.put(layout.commit_file(first, task.id), b"{}")
    record_plan(store, plan, accept_code=False)


REPOSITORY = Path(__file__).parents[2]


def test_only_code_that_decides_about_bytes_is_part_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in DATA_PACKAGES:
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    monkeypatch.setattr("pipelines.plan.REPOSITORY", tmp_path)

    def version_with(name: str) -> str:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        before = file.read_bytes() if file.exists() else b""
        file.write_bytes(before + b"# edited")
        found = code_version.__wrapped__()
        file.write_bytes(before) if before else file.unlink()
        return found

    here = code_version.__wrapped__()
    for name in MANIFEST_CODE:
        assert version_with(f"{name}new.py" if name.endswith("/") else name) == here
    for name in ("manifests/stats.py", "filters/text.py", "pipelines/work/organic.py"):
        assert version_with(name) != here
    assert version_with("generators/prompts/new.md") != here


def test_code_that_decides_about_bytes_imports_none_that_is_left_out() -> None:
    left_out = tuple(
        name.removesuffix(".py").rstrip("/").replace("/", ".") for name in MANIFEST_CODE
    )
    found = []
    for package in DATA_PACKAGES:
        for file in (REPOSITORY / package).rglob("*.py"):
            name = file.relative_to(REPOSITORY).as_posix()
            if name.startswith(MANIFEST_CODE):
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = [f"{node.module}.{a.name}" for a in node.names]
                found += [
                    (name, one)
                    for one in names
                    if f"{one}.".startswith(tuple(f"{x}." for x in left_out))
                ]
    assert found == []
