"""What README and docs say is tried: commands, links, tables that repeat the code, examples."""

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from generators.catalog import CURATORS, GENERATORS
from generators.contract import Curator, Generator
from generators.dialogue import Dialogue
from generators.instruction import AgentInstruct
from generators.reversal import Reversal
from generators.revision import SelfRevision
from generators.revision_exercise import Form
from generators.rewrite import Rewrite
from generators.seeds.curate import SeedCurator
from infra.setup.__main__ import USAGE
from infra.setup.models import encoding_file
from infra.simulated.answers import AnswerRule
from infra.simulated.faults import FaultKind, parse_faults
from infra.simulated.start import SimulatedTeacher
from infra.teacher.policy import PoolPolicy
from manifests.commits import Commit
from manifests.fingerprint import canonical_json
from manifests.index import build_index
from manifests.records import Reason, Record, Reject, Seed, SeedDocument
from manifests.stats import ShardStats
from manifests.store import open_store
from manifests.tables import schema_of
from manifests.token_rows import TokenDocument
from pipelines import overrides
from pipelines.recipes.catalog import RECIPES, recipe
from pipelines.work.outcome import POISON
from pipelines.work.take import SURPLUS
from tests.manifests import tokened
from tests.pipelines.committed_run import make_run, make_tokens

REPOSITORY = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(REPOSITORY)): path.read_text("utf-8")
    for path in (
        REPOSITORY / "README.md",
        REPOSITORY / "CHANGELOG.md",
        *sorted((REPOSITORY / "docs").glob("*.md")),
    )
}
ROOT = "runs-local/quickstart"
COMMAND_LINES = {
    "manifests": "manifests.cli:cli",
    "pipelines": "pipelines.cli:cli",
    "trainer": "trainer.cli:cli",
    "infra.teacher": "infra.teacher.__main__:main",
    "infra.simulated": "infra.simulated.__main__:main",
    "infra.sandbox": "infra.sandbox.__main__:main",
}
_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>tested(?:: \w+)?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Shown:
    """A command line on a page."""

    page: str
    words: tuple[str, ...]
    whole: bool
    """In a block, to be typed as it stands; a mention in a sentence may leave things out."""

    @property
    def package(self) -> str:
        return self.words[2]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks(page: str, language: str, mark: str | None = None) -> list[str]:
    found = _FENCE.finditer(PAGES[page])
    return [m["text"] for m in found if m["language"] == language and mark in (None, m["mark"])]


def prose(page: str) -> str:
    return _FENCE.sub("", PAGES[page])


def command_lines() -> Iterator[Shown]:
    for page in PAGES:
        lines = [
            (line, True)
            for block in blocks(page, "sh")
            for line in block.replace("\\\n", " ").splitlines()
        ]
        lines += [(span, False) for span in _SPAN.findall(prose(page))]
        for line, whole in lines:
            words = shlex.split(line, comments=True)
            starts = [i for i in range(len(words)) if words[i : i + 2] == ["python", "-m"]]
            yield from (Shown(page, tuple(words[at:]), whole) for at in starts)


SHOWN = list(command_lines())


def click_command(package: str) -> click.Command:
    module, _, name = COMMAND_LINES[package].partition(":")
    command = getattr(importlib.import_module(module), name)
    assert isinstance(command, click.Command)
    return command


def parse(command: click.Command, words: list[str], *, whole: bool) -> None:
    """Parse as click does, without running anything or looking at files."""
    context = click.Context(command, info_name="shown")
    given, rest, _ = command.make_parser(context).parse_args(words)
    for parameter in command.params:
        value = given.get(parameter.name)
        missing = not (isinstance(value, str | list | tuple) and value)  # or click's own mark
        assert not (whole and parameter.required and missing), f"{parameter.name} is missing"
        if not missing and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)
    if isinstance(command, click.Group):
        verb = rest.pop(0) if rest else ""
        assert verb in command.commands or (not verb and not whole), f"no verb {verb!r}"
        if verb:
            parse(command.commands[verb], rest, whole=whole)
    else:
        assert not rest, f"left over: {rest}"


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_command_on_a_page_exists_with_its_options(shown: Shown) -> None:
    if shown.package == "infra.setup":
        assert all(re.search(rf"^  {word} ", USAGE, re.MULTILINE) for word in shown.words[3:])
        return
    parse(click_command(shown.package), list(shown.words[3:]), whole=shown.whole)


def test_a_wrong_command_would_be_noticed() -> None:
    for words in (["verifi", "x", "--root", "r"], ["verify", "x"], ["verify", "--rot", "r", "x"]):
        with pytest.raises((AssertionError, click.UsageError)):
            parse(click_command("manifests"), ["step", *words], whole=True)


@pytest.mark.parametrize("package", COMMAND_LINES)
def test_every_verb_stands_on_a_page(package: str) -> None:
    command = click_command(package)
    said = {word for shown in SHOWN if shown.package == package for word in shown.words[3:]}
    verbs = set(command.commands) if isinstance(command, click.Group) else set()
    assert any(shown.package == package for shown in SHOWN)
    assert verbs <= said


@pytest.mark.parametrize("shown", [s for s in SHOWN if s.package == "pipelines"], ids=str)
def test_what_a_recipe_is_asked_with_on_a_page_exists(shown: Shown) -> None:
    _, _, _, *words = shown.words
    if len(words) < 2 or words[0] not in ("run", "plan") or words[1] not in RECIPES:
        return
    given = [word for word in words[2:] if re.match(r"[a-z_]+=(?!.*://.*=)", word)]
    options = {words[at + 1] for at, word in enumerate(words[:-1]) if word.startswith("--")}
    overrides.parse(words[1], recipe(words[1]), [word for word in given if word not in options])


def test_every_make_target_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        for text in (*lines, *_SPAN.findall(prose(page))):
            if made := re.match(r"make ([a-z-]+)", text):
                assert made[1] in targets, page


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        file = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    tops = "manifests|generators|filters|infra|pipelines|trainer|tests|benchmarks|docs|requirements"
    for span in _SPAN.findall(prose(page)):
        if re.fullmatch(rf"(?:{tops})/[\w./-]*", span):
            assert (REPOSITORY / span).exists(), span


def table_rows(page: str, first: str) -> list[list[str]]:
    """The cells of the rows of every table whose first heading is `first`."""
    found: list[list[str]] = []
    inside = False
    for line in prose(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        inside = bool(cells) and (inside or cells[0] == first)
        if inside and cells[0] != first and not set(cells[0]) <= {"-"}:
            found.append(cells)
    return found


def named(cell: str) -> list[str]:
    return _SPAN.findall(cell)


@pytest.mark.parametrize(
    ("first", "catalog"), [("generator", GENERATORS), ("curator", CURATORS)], ids=str
)
def test_the_catalog_and_its_page_name_the_same(first: str, catalog: dict[str, object]) -> None:
    names = [name for row in table_rows("docs/generators.md", first) for name in named(row[0])]
    assert sorted(names) == sorted(catalog)


def test_the_recipes_and_their_page_name_the_same() -> None:
    rows = table_rows("docs/running.md", "recipe")
    assert sorted(name for row in rows for name in named(row[0])) == sorted(RECIPES)


def calls(method: Generator) -> str:
    """Least and most calls of a seed that gives a record."""
    low = high = 1
    match method:
        case SelfRevision():
            free = method.form in (Form.OPEN, Form.SHORT)
            tries = method.solve + method.closed_book
            low = 2 + tries
            high = 2 * method.rounds + 2 * method.blind + tries * (2 if free else 1)
        case Reversal():
            low, high = 2, 1 + method.regenerations
        case AgentInstruct():
            each = 3 + 2 * method.refinements
            low = method.instructions_per_seed * each + (method.transformation.text is not None)
            high = low
        case Dialogue():
            low, high = 2 * method.turns + 1, 4 * method.turns + 1
    return str(low) if low == high else f"{low} to {high}"


def cells_of(method: Generator | Curator) -> list[str]:
    """What a row of the page must hold of a method."""
    match method:
        case SeedCurator():
            words = f"{method.min_words} to {method.max_words}"
            return [str(method.min_page_edu), words, str(method.max_passages)]
        case Rewrite():
            ratio = f"{method.min_ratio:g} to {method.max_ratio:g}"
            return [str(method.max_source_words), ratio, f"`{method.bucket}`"]
        case SelfRevision():
            return [", ".join(item for item, _ in method.rubric), calls(method)]
        case Reversal():
            lines = f"{method.min_lines} to {method.max_lines}"
            return [lines, str(method.regenerations), calls(method)]
        case Dialogue():
            return [str(method.turns), calls(method)]
        case AgentInstruct():
            return [calls(method)]
    raise TypeError(f"{method.name}: say here what its row must hold")


METHODS = [*GENERATORS.values(), *CURATORS.values()]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
def test_the_row_of_a_method_says_what_its_fields_say(method: Generator | Curator) -> None:
    rows = [
        row
        for first in ("generator", "curator")
        for row in table_rows("docs/generators.md", first)
        if named(row[0]) == [method.name]
    ]
    (row,) = rows
    cells = [re.sub(r" \[RW[^]]*\]", "", cell) for cell in row]
    assert [cell for cell in cells_of(method) if cell not in cells] == []


@pytest.mark.parametrize("row_type", [SeedDocument, Seed, Record, TokenDocument, Reject])
def test_the_columns_on_the_page_are_those_of_the_schema(row_type: type) -> None:
    section = PAGES["docs/data.md"].partition(f"### {row_type.__name__.lower()}\n")[2]
    lines = section.partition("\n#")[0].splitlines()
    columns = [name for line in lines if line[:2] == "| " for name in named(line.split("|")[1])]
    assert columns == schema_of(row_type).names


def test_the_reasons_on_the_page_are_the_vocabulary() -> None:
    reasons = [name for row in table_rows("docs/data.md", "reason") for name in named(row[0])]
    assert sorted(reasons) == sorted([*Reason, POISON, SURPLUS])


def test_every_statistic_has_a_merge_rule_on_the_page() -> None:
    rules = [name for row in table_rows("docs/data.md", "what") for name in named(row[0])]
    assert sorted(rules) == sorted(field.name for field in fields(ShardStats))


def test_the_commit_on_the_page_is_a_commit() -> None:
    (text,) = blocks("docs/data.md", "json", "tested: commit")
    commit = Commit.from_json(canonical_json(json.loads(text)), "docs/data.md")
    assert commit.ledger.balanced
    assert commit.stats.distinct.estimate() == commit.ledger.rows


def test_the_numbers_of_the_pool_on_the_page_are_those_of_the_policy() -> None:
    policy = PoolPolicy()
    limit = {f"limit.{f.name}": getattr(policy.limit, f.name) for f in fields(policy.limit)}
    rest = {f.name: getattr(policy, f.name) for f in fields(policy) if f.name != "limit"}
    rows = table_rows("docs/teacher.md", "name")
    assert {named(row[0])[0]: row[1] for row in rows} == {
        name: str(value) for name, value in (limit | rest).items()
    }


def test_the_faults_on_the_page_are_those_that_there_are() -> None:
    kinds = [name for row in table_rows("docs/teacher.md", "kind") for name in named(row[0])]
    assert sorted(kinds) == sorted(FaultKind)
    (script,) = blocks("docs/teacher.md", "json", "tested: faults")
    assert len(parse_faults(script)) == len(json.loads(script))


def test_the_parts_of_an_answer_rule_stand_on_the_page() -> None:
    assert all(f'"{name}"' in PAGES["docs/teacher.md"] for name in AnswerRule.model_fields)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small quick start lies where the pages say."""
    folder = tmp_path_factory.mktemp("docs")
    with SimulatedTeacher() as teacher:
        made = make_run(folder / ROOT, teacher.url, "generators=rewrite_quick@1", "documents=3")
    for step in made.plan.steps:
        build_index(made.store, step.address)
    make_tokens(folder / ROOT, encoding_file(), "steps=rewrite_quick_screened", index=True)
    return folder


TESTED = [
    (page, number) for page in PAGES for number in range(len(blocks(page, "python", "tested")))
]


def missing_libraries(source: str) -> list[str]:
    tops = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            tops.add(node.module.split(".")[0])
    return sorted(top for top in tops if find_spec(top) is None)


@pytest.mark.parametrize(("page", "number"), TESTED)
def test_an_example_runs_after_those_before_it(
    page: str, number: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = blocks(page, "python", "tested")
    if missing := missing_libraries(examples[number]):
        pytest.skip(f"not installed: {', '.join(missing)}")
    module = types.ModuleType("an_example")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HOME", str(place / "huggingface"))  # read when `datasets` is imported
    for example in examples[: number + 1]:
        if not missing_libraries(example):
            exec(compile(example, page, "exec", dont_inherit=True), module.__dict__)
    if page == "docs/data.md":
        known = sum(row["rows"] for row in module.__dict__["index"])
        read = {"by_words", "frame", "records", "words", "dataset", "rows"} & set(vars(module))
        assert known > 0
        assert {name: len(getattr(module, name)) for name in read} == dict.fromkeys(read, known)
        if {"by_words", "words", "long"} <= set(vars(module)):
            words = sorted(count for _, _, count in module.__dict__["by_words"])
            assert sorted(module.__dict__["words"]) == words
            assert len(module.__dict__["long"]) == sum(count > 20 for count in words)


def test_the_examples_that_read_ids_give_those_of_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tokened.text("long", "many words " * 2000)
    slices = [[*tokened.mixed("a", 9), long], [], tokened.texts("b", 5)]
    store = open_store(str(tmp_path / ROOT))
    tokened.token_step(store, "rewrite_quick_tokens", *slices, files=2, index=True)
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    for example in blocks("docs/data.md", "python", "tested: tokens"):
        exec(compile(example, "docs/data.md", "exec", dont_inherit=True), found)
    read, mapped, ids_of = found["documents"], found["mapped"], found["ids_of"]
    assert isinstance(read, list)
    assert [tuple(ids.tolist()) for ids in read] == [one.ids for made in slices for one in made]
    assert isinstance(mapped, dict)
    assert callable(ids_of)
    assert len(mapped) == 4
    for sha256, ids in mapped.items():
        whole = ids_of(tmp_path / str(found["step"]) / f"tokens/{sha256}.parquet")
        assert ids[: len(whole)].tolist() == whole.tolist()
        assert set(ids[len(whole) :].tolist()) <= {tokened.END}


READING = ("status", "show", "step")
TRIED = {
    shown.words: shown
    for shown in SHOWN
    if shown.whole
    and ROOT in shown.words
    and shown.words[3] in READING
    and shown.words[2:4] != ("manifests", "show")
}


@pytest.mark.parametrize("shown", TRIED.values(), ids=str)
def test_a_command_that_reads_the_quick_start_works_as_it_stands(shown: Shown, place: Path) -> None:
    done = subprocess.run(
        [sys.executable, *shown.words[1:]],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_commands_of_a_mixture_work_one_after_another(place: Path) -> None:
    commands = [s for s in SHOWN if s.page == "README.md" and s.package == "manifests" and s.whole]
    verbs = [shown.words[3] for shown in commands]
    expected = ["init", "plan", "build", "list", "show", "explain", "at", "verify"]
    assert verbs[-8:] == expected
    for shown in commands[-8:]:
        done = subprocess.run(
            [sys.executable, *shown.words[1:]],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shown}: {done.stderr}"
        assert done.stdout.strip()
