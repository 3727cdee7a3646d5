import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generators.catalog import GENERATORS
from generators.rewrite import Rewrite
from infra.sandbox.bubblewrap import Sandbox, available
from infra.simulated.start import SimulatedTeacher
from manifests import layout
from manifests.commits import task_id
from manifests.errors import DataError
from manifests.programs import Execution, Program
from manifests.records import Record, Reject, Seed, SeedDocument
from manifests.segments import read_segments, write_segment
from pipelines.replay import Exchange, replay
from pipelines.show import Shown, commits_in_order, find_rows
from tests.pipelines.committed_run import Command, Made, make_run


@pytest.fixture(scope="module")
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher() as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, teacher: SimulatedTeacher) -> Made:
    """The whole quick start."""
    return make_run(tmp_path_factory.mktemp("show") / "root", teacher.url)


@pytest.fixture
def small(tmp_path: Path, teacher: SimulatedTeacher) -> Made:
    """A run that a test may break."""
    return make_run(tmp_path / "root", teacher.url, "generators=rewrite_quick@1", "documents=2")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def shown(made: Made, step: str, *, rejects: bool = False, limit: int = 100) -> list[Shown]:
    commits = commits_in_order(made.store, made.step(step).address, made.plan.slices)
    return find_rows(made.store, commits, limit, rejects=rejects)


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def written(made: Made) -> list[Shown]:
    """The records of all generators, as written and as screened."""
    found = [one for step in made.plan.steps for one in shown(made, step.name)]
    records = [one for one in found if isinstance(one.placed.row, Record)]
    assert len({one.placed.commit.step for one in records}) >= 4  # of at least two generators
    return records


def replayed(made: Made, one: Shown) -> list[Exchange]:
    assert one.making is not None
    return asyncio.run(replay(made.store, *one.making, Sandbox()))


def test_a_record_leads_back_to_its_seed_and_its_document(made: Made) -> None:
    for one in written(made):
        record, seed = one.placed.row, one.ancestor(Seed)
        document = one.ancestor(SeedDocument)
        assert isinstance(record, Record)
        assert record.seed_ids == (seed.id,)
        assert seed.document_id == document.id
        assert document.text.splitlines()[seed.start_line - 1].strip() in seed.text


def test_every_row_can_be_made_again_from_what_is_stored(made: Made) -> None:
    lengths = set()
    for one in [*written(made), *shown(made, "seeds")]:
        row = one.placed.row
        assert isinstance(row, Record | Seed)
        exchanges = replayed(made, one)
        assert {e.key for e in exchanges} == {call.prompt for call in row.lineage}
        for exchange in exchanges:
            assert exchange.prompt.key(exchange.teacher) == exchange.key
            assert exchange.completion is not None
        # Whoever judges speaks after whoever writes: the order is that of asking, not of keys.
        assert exchanges[0].prompt.role not in ("critic", "solver")
        lengths.add(len(exchanges))
    assert max(lengths) > 2


def test_every_reject_can_be_refused_again(made: Made) -> None:
    asked = 0
    for step in made.plan.steps:
        for one in shown(made, step.name, rejects=True):
            if one.making is None or not isinstance(one.making[0].row, Reject):
                continue  # what a gate dropped was written, and is replayed as written
            exchanges = replayed(made, one)
            assert len(exchanges) == len(one.making[0].row.lineage)
            asked += len(exchanges)
    assert asked


def screened(made: Made) -> Shown:
    """A screened record that took several calls."""
    return next(
        one
        for one in written(made)
        if isinstance(one.placed.row, Record)
        and len(one.placed.row.lineage) > 1
        and "_screened@" in one.placed.commit.step
    )


def test_the_text_tells_a_record_whole(made: Made, command: Command) -> None:
    one = screened(made)
    record, seed, document = one.placed.row, one.ancestor(Seed), one.ancestor(SeedDocument)
    assert isinstance(record, Record)
    given = [one.placed.commit.step, "--root", made.root, "--record", record.id]
    out = command.succeeds("show", *given, "--transcript")
    for said in (
        record.text,
        record.id,
        seed.id,
        f"lines {seed.start_line}-{seed.end_line} of {seed.url}",
        f"licence {seed.licence}",
        seed.tags.info_type,
        document.id,
        *(f"part      {name}: " for name in record.parts),
        *(f"{name} {value:.2f}" for name, value in list(record.scores.items())[:1]),
        f"call 1 of {len(record.lineage)}: ",
        "[user]",
    ):
        assert said in out
    for call in record.lineage:
        assert f"prompt {call.prompt[:12]}, answer {call.completion[:12]} by {call.teacher}" in out
        assert f"[answer {call.completion[:12]}: " in out


def test_json_holds_everything_one_object_a_line(made: Made, command: Command) -> None:
    step = screened(made).placed.commit.step
    given = ["show", step, "--root", made.root, "-n", "2", "--transcript", "--json"]
    lines = objects(command.succeeds(*given))
    assert len(lines) == 2
    for line in lines:
        assert set(line) == {"step", "slice", "record", "seed", "document", "transcript"}
        assert line["seed"]["id"] in line["record"]["seed_ids"]
        asked = {exchange["key"]: exchange for exchange in line["transcript"]}
        for call in line["record"]["lineage"]:
            assert asked[call["prompt"]]["completion"]["digest"] == call["completion"]
            assert asked[call["prompt"]]["prompt"]["messages"]


def test_rows_are_found_by_the_beginning_of_their_id(made: Made, command: Command) -> None:
    last = shown(made, "rewrite_quick")[-1].placed.row
    assert isinstance(last, Record)
    out = command.succeeds(
        "show", "rewrite_quick", "--root", made.root, "--record", last.id[:9], "--json"
    )
    assert [line["record"]["id"] for line in objects(out)] == [last.id]
    reject = shown(made, "rewrite_quick", rejects=True)[-1].placed.row
    assert isinstance(reject, Reject)
    out = command.succeeds(
        "show",
        "rewrite_quick",
        "--root",
        made.root,
        "--rejects",
        "--record",
        reject.item_id,
        "--json",
    )
    assert [line["reject"]["item_id"] for line in objects(out)] == [reject.item_id]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rewrite_slow"], "there is no step 'rewrite_slow'"),
        (["rewrite"], "2 steps fit 'rewrite'"),
        (["reverse_python_quick"], "has no rows yet"),
        (["seeds", "--rejects"], "has no rejects yet"),
        (["seeds", "--record", "zzz"], "has no rows whose id begins with zzz yet"),
        (["documents", "--transcript"], "asks no teacher"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    made: Made, command: Command, arguments: list[str], says: str
) -> None:
    assert says in command.refuses("show", *arguments, "--root", made.root)


def test_dropped_transcripts_are_said_to_be_dropped(
    tmp_path: Path, teacher: SimulatedTeacher, command: Command
) -> None:
    arguments = ("generators=rewrite_quick@1", "documents=4")
    dropped = make_run(tmp_path / "root", teacher.url, *arguments, keep_transcripts=False)
    given = ["show", "rewrite_quick", "--root", dropped.root]
    assert command.succeeds(*given)
    assert "--drop-transcripts" in command.refuses(*given, "--transcript")


def transcripts(made: Made, step: str) -> list[str]:
    """Prefixes of the tasks of a step that have transcripts."""
    address = made.step(step).address
    tasks = (task_id(address, number) for number in range(made.plan.slices))
    prefixes = [layout.completions_prefix(address, task) for task in tasks]
    return [prefix for prefix in prefixes if list(made.store.list(prefix))]


def rewrite_transcripts(made: Made, step: str, change: Any) -> None:
    for prefix in transcripts(made, step):
        stored = read_segments(made.store, prefix)
        for key in list(made.store.list(prefix)):
            made.store.delete(key)
        write_segment(made.store, prefix, change(stored))


def test_a_missing_answer_is_noticed(small: Made, command: Command) -> None:
    rewrite_transcripts(small, "seeds", lambda stored: dict(sorted(stored.items())[1:]))
    code, _, err = command("show", "seeds", "--root", small.root, "--transcript", "-n", "100")
    assert code == 1
    assert "over the stored answers" in err


def test_another_answer_is_noticed(small: Made, command: Command) -> None:
    rewrite_transcripts(
        small,
        "rewrite_quick",
        lambda stored: {k: replace(v, text=f"{v.text} Indeed.") for k, v in stored.items()},
    )
    given = ["show", "rewrite_quick", "--root", small.root, "--transcript", "-n", "1"]
    line = command.refuses(*given, code=1)
    assert "gives" in line
    assert "over the stored answers" in line


def test_another_answer_is_noticed_where_the_row_is_the_same(small: Made, command: Command) -> None:
    rewrite_transcripts(
        small, "seeds", lambda stored: {k: replace(v, text=f"{v.text} ") for k, v in stored.items()}
    )
    line = command.refuses("show", "seeds", "--root", small.root, "--transcript", code=1)
    assert "answers, 0 of them the same" in line


def test_a_prompt_edited_since_is_noticed(
    small: Made, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = GENERATORS["rewrite_quick@1"]
    assert isinstance(method, Rewrite)
    text = replace(method.text, user=f"{method.text.user} Please.")
    monkeypatch.setitem(GENERATORS, method.name, replace(method, text=text))
    given = ["show", "rewrite_quick", "--root", small.root, "--transcript", "-n", "1"]
    assert "its code or its prompts are others" in command.refuses(*given, code=1)


def test_a_generator_that_is_gone_is_said_to_be_gone(
    small: Made, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(GENERATORS, "rewrite_quick@1")
    given = ["show", "rewrite_quick", "--root", small.root, "--transcript", "-n", "1"]
    assert "cannot run rewrite_quick@1 again" in command.refuses(*given)


def test_an_input_row_that_is_not_where_it_should_be_is_an_error(small: Made) -> None:
    commits = commits_in_order(small.store, small.step("rewrite_quick").address, small.plan.slices)
    lost = [
        replace(commit, inputs=tuple(replace(shard, task="0" * 32) for shard in commit.inputs))
        for commit in commits
    ]
    with pytest.raises(DataError, match="in none of its input shards"):
        find_rows(small.store, iter(lost), 1, rejects=False)


def test_a_question_that_the_teacher_refused_is_shown_as_refused(
    tmp_path: Path, documents: Path, command: Command
) -> None:
    with SimulatedTeacher() as teacher:
        # The first question about a passage: the other passages of the document stay.
        teacher.faults([{"kind": "http_400", "at_request": 2}])
        made = make_run(
            tmp_path / "root",
            teacher.url,
            f"prose={documents / '0.jsonl'}",
            "prose_curator=seeds_quick@1",
            "generators=rewrite_quick@1",
            "documents=1",
            name="synthesize",
            until=lambda step, _: step.name in ("documents", "seeds"),
        )
    out = command.succeeds("show", "seeds", "--root", made.root, "--transcript")
    assert out.count("[no answer: the teacher refused this prompt]") == 1
    assert "call 2 of" in out


RUNS = '''
def run_lengths(text: str) -> list[tuple[str, int]]:
    """Lengths of the runs of equal letters in a text, each with its letter, from left to right."""
    found_runs = []
    for letter in text:
        if found_runs and found_runs[-1][0] == letter:
            found_runs[-1] = (letter, found_runs[-1][1] + 1)
        else:
            found_runs.append((letter, 1))
    return found_runs
'''
TASK = {
    "task": (
        "Write a function that splits a string into maximal stretches of equal characters and "
        "gives each character together with the length of its stretch, in order."
    ),
    "inputs": "`text`: the string to split, it may be empty.",
    "outputs": "A list of pairs of a character and a positive integer.",
    "edge_cases": ["The empty string gives an empty list.", "Case matters."],
    "example_calls": ["run_lengths('aab')", "run_lengths('')"],
}


@pytest.mark.skipif(available() is not None, reason="no sandbox here")
def test_code_that_was_run_is_run_again(tmp_path: Path) -> None:
    ran: list[Program] = []

    async def execute(program: Program) -> Execution:
        ran.append(program)
        return await Sandbox()(program)

    code = tmp_path / "runs.py"
    code.write_text(RUNS)
    with SimulatedTeacher() as teacher:
        teacher.rules(
            [
                {"containing": "Write the task whose solution is", "answer": TASK},
                {"containing": "maximal stretches", "answer": f"```python{RUNS}```"},
            ]
        )
        made = make_run(
            tmp_path / "root",
            teacher.url,
            f"code={code}",
            "code_curator=seeds_quick@1",
            "generators=reverse_python_function@1",
            name="synthesize",
        )
    (one,) = shown(made, "reverse_python_function")
    assert one.making is not None
    exchanges = asyncio.run(replay(made.store, *one.making, execute))
    assert [e.prompt.role for e in exchanges] == ["writer", "solver"]
    assert ran
