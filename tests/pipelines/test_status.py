import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.simulated.start import SimulatedTeacher
from manifests import layout
from manifests.commits import read_commits, task_id
from manifests.completions import Completion, FinishReason, Usage
from manifests.segments import read_segments, write_segment
from manifests.shards import read_shard
from manifests.stores.local import LocalStore
from pipelines.plan import read_runs
from pipelines.status import run_status
from pipelines.work.spent import costs
from tests.pipelines.committed_run import Command, Made, make_run

ANSWER = Completion(
    text="yes",
    finish_reason=FinishReason.STOP,
    teacher="simulated@r1",
    usage=Usage(completion_tokens=7),
)


@pytest.fixture(scope="module")
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher() as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, teacher: SimulatedTeacher) -> Made:
    return make_run(tmp_path_factory.mktemp("a status") / "root", teacher.url)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def synthesize(root: Path, teacher: str, prose: Path, form: str) -> Made:
    return make_run(
        root,
        teacher,
        f"prose={prose}",
        f"prose_format={form}",
        "prose_curator=seeds_quick@1",
        "generators=rewrite_quick@1",
        name="synthesize",
    )


def row(out: str, name: str) -> list[str]:
    """The cells of a line of the table."""
    (line,) = (line for line in out.splitlines() if line.startswith(f"{name} "))
    return line.split()


def test_json_tells_what_the_commits_tell(made: Made, command: Command) -> None:
    (status,) = json.loads(command.succeeds("status", "--root", made.root, "--json"))
    assert status["complete"]
    by_address = {step["address"]: step for step in status["steps"]}
    for step in made.plan.steps:
        commits = list(read_commits(made.store, step.address))
        told = by_address[step.address]
        assert told["committed"] == told["slices"] == len(commits) == made.plan.slices
        assert told["ledger"]["planned"] == sum(c.ledger.planned for c in commits)
        assert told["ledger"]["rows"] == sum(c.data.rows for c in commits)
        assert told["calls"] == sum(c.stats.teacher.calls for c in commits)
    rows = sum(
        read_shard(made.store, layout.data_file(end.address, c.data.sha256), c.data).num_rows
        for end in made.plan.ends
        for c in read_commits(made.store, end.address)
    )
    assert status["records"] == rows == sum(one["records"] for one in status["generators"])
    assert rows > 0


def test_the_table_tells_each_generator_and_why_it_rejects(made: Made, command: Command) -> None:
    out = command.succeeds("status", "--root", made.root)
    (status,) = json.loads(command.succeeds("status", "--root", made.root, "--json"))
    tasks = len(made.plan.steps) * made.plan.slices
    assert f"complete, {tasks} of {tasks} tasks" in out
    for one in status["generators"]:
        cells = row(out, one["name"])
        assert cells[2] == str(one["items"])
        assert cells[6:8] == [str(one["written"]), str(one["records"])]
        assert cells[8] == f"{one['tokens']:,}"
    assert row(out, "total")[2] == str(status["records"])
    for step in status["steps"]:
        for reason, count in step["ledger"]["rejected"].items():
            assert f"{count:,} {reason}" in out


def test_every_token_of_the_teacher_is_charged_to_what_became_of_it(
    made: Made, command: Command
) -> None:
    (status,) = json.loads(command.succeeds("status", "--root", made.root, "--json"))
    for one in status["generators"]:
        spent, name = one["spent"], one["name"].partition("@")[0]
        commits = list(read_commits(made.store, made.step(name).address))
        asked = sum(c.stats.teacher.completion_tokens for c in commits)
        lost = sum(spent["rejected"].values()) + sum(spent["gates"].values())
        assert spent["accepted"] + lost + spent["quarantined"] == asked > 0
        assert (spent["beyond"], spent["unfinished"]) == (0, 0)
        if one["records"]:
            assert one["teacher_tokens_per_record"] == asked / one["records"]
            assert one["teacher_tokens_per_token"] == asked / one["tokens"]
        for commit in commits:  # what a record says it cost, and a reject, is what its calls took
            prefix = layout.completions_prefix(commit.step, commit.task)
            answers = read_segments(made.store, prefix)
            table = read_shard(
                made.store, layout.data_file(commit.step, commit.data.sha256), commit.data
            )
            items: dict[str, set[str]] = {}
            for item, lineage in zip(
                table["item_id"].to_pylist(), table["lineage"].to_pylist(), strict=True
            ):
                items.setdefault(item, set()).update(call["prompt"] for call in lineage)
            calls = {prompt for asked_for in items.values() for prompt in asked_for}
            taken = sum(answers[prompt].usage.completion_tokens for prompt in calls)
            assert commit.stats.spent.get("accepted", 0) == taken == int(costs(table).sum())
    assert any(one["spent"]["rejected"] for one in status["generators"])


def test_the_commands_it_names_work_and_the_shards_are_there(made: Made, command: Command) -> None:
    out = command.succeeds("status", "--root", made.root)
    told = [line.partition("python -m ")[2] for line in out.splitlines() if "python -m " in line]
    assert len(told) == 3
    for line in told:
        package, *arguments = shlex.split(line)
        assert arguments[arguments.index("--root") + 1] == made.root
        if package == "pipelines":
            assert command.succeeds(*arguments)
    folders = [line.strip() for line in out.splitlines() if line.endswith("/data")]
    (status,) = json.loads(command.succeeds("status", "--root", made.root, "--json"))
    assert len(folders) == sum(1 for one in status["generators"] if one["records"]) > 1
    for folder in folders:
        assert list((Path(made.root) / folder).glob("*.parquet"))


def test_an_open_run_tells_how_far_it_is_and_what_it_keeps(
    tmp_path: Path, teacher: SimulatedTeacher, command: Command
) -> None:
    made = make_run(
        tmp_path / "root",
        teacher.url,
        "generators=rewrite_quick@1",
        until=lambda step, slice_index: slice_index == 0,
    )
    write = made.step("rewrite_quick").address
    for slice_index in (0, 1):  # the first has committed: what it keeps is its transcript
        prefix = layout.completions_prefix(write, task_id(write, slice_index))
        write_segment(made.store, prefix, {"k1": ANSWER})
        write_segment(made.store, prefix, {"k2": ANSWER})
    out = command.succeeds("status", "--root", made.root)
    assert "not complete, 4 of 8 tasks" in out
    assert row(out, "documents@1")[1] == "1/2"
    assert row(out, "rewrite_quick@1")[1] == "2/4"
    assert "  rewrite_quick@1: 2 segments of 1 tasks" in out
    (status,) = json.loads(command.succeeds("status", "--root", made.root, "--json"))
    assert not status["complete"]
    kept = {step["address"]: step["kept"] for step in status["steps"]}
    assert kept.pop(write) == {"tasks": 1, "segments": 2, "tokens": 14}
    unfinished = {one["name"]: one["spent"]["unfinished"] for one in status["generators"]}
    assert unfinished == {"rewrite_quick@1": 14}
    assert "14 unfinished" in out
    assert set(map(str, kept.values())) == {"{'tasks': 0, 'segments': 0, 'tokens': 0}"}


def test_several_runs_are_told_one_after_another_or_by_their_id(
    tmp_path: Path, teacher: SimulatedTeacher, command: Command
) -> None:
    root, arguments = tmp_path / "root", ("generators=rewrite_quick@1",)
    one = make_run(root, teacher.url, "documents=1", *arguments)
    two = make_run(root, teacher.url, "documents=2", *arguments)
    out = command.succeeds("status", "--root", str(root))
    assert f"run {one.plan.run} " in out
    assert f"run {two.plan.run} " in out
    out = command.succeeds("status", two.plan.run[:10], "--root", str(root))
    assert one.plan.run not in out
    assert "which run?" in command.refuses("status", "zzz", "--root", str(root))
    line = command.refuses("show", "rewrite_quick", "--root", str(root))
    short = f"rewrite_quick@1/{two.step('rewrite_quick').address.split('/')[2][:8]}"
    assert short in line
    assert command.succeeds("show", short, "--root", str(root))


def test_a_run_that_lost_everything_says_where(
    tmp_path: Path, teacher: SimulatedTeacher, command: Command
) -> None:
    pages = tmp_path / "pages.jsonl"
    pages.write_text('{"text": "Too short."}\n{"text": "As short."}\n')
    made = synthesize(tmp_path / "root", teacher.url, pages, "jsonl")
    out = command.succeeds("status", "--root", made.root)
    assert "no records: seeds@1 refused all 2 items (2 too_short)" in out
    (line,) = (line for line in out.splitlines() if line.startswith("  see python -m pipelines "))
    rejects = command.succeeds(*shlex.split(line.partition("-m pipelines ")[2]))
    assert rejects.count("why       ") == 2


def test_a_corrupt_file_is_a_counted_reject_and_the_run_goes_on(
    tmp_path: Path, teacher: SimulatedTeacher, command: Command, documents: Path
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    lines = (documents / "0.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    pq.write_table(pa.table({"text": texts}), folder / "sound.parquet")
    sound = (folder / "sound.parquet").read_bytes()
    (folder / "torn.parquet").write_bytes(sound[: len(sound) // 2])
    (folder / "folder.parquet").mkdir()
    made = synthesize(tmp_path / "root", teacher.url, folder, "parquet")
    out = command.succeeds("status", "--root", made.root)
    assert row(out, "documents@1")[2:6] == ["7", "6", "1", "6"]
    assert "1 unreadable" in out
    assert int(row(out, "rewrite_quick@1")[7]) > 0
    rejects = command.succeeds("show", "documents", "--rejects", "--root", made.root)
    assert "torn.parquet" in rejects


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PAR1 and then nothing", "documents@1 refused all 1 items (1 unreadable)"),
        (None, "documents@1 found no documents in the sources"),
    ],
)
def test_sources_that_hold_nothing(
    tmp_path: Path,
    teacher: SimulatedTeacher,
    command: Command,
    content: bytes | None,
    says: str,
) -> None:
    file = tmp_path / "pages.parquet"
    if content is None:
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), file)
    else:
        file.write_bytes(content)
    made = synthesize(tmp_path / "root", teacher.url, file, "parquet")
    out = command.succeeds("status", "--root", made.root)
    assert f"no records: {says}" in out
    assert "look at some" not in out


class Counting(LocalStore):
    """Counts listings."""

    listed = 0

    def list(self, prefix: str) -> Iterator[str]:
        self.listed += 1
        return super().list(prefix)


def test_status_lists_each_step_once(made: Made) -> None:
    (note,) = read_runs(made.store)
    store = Counting(Path(made.root))
    run_status(store, note)
    assert store.listed == len(note.steps) + 1  # and the events once
