import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from generators.catalog import CURATORS, GENERATORS
from generators.dialogue import Dialogue
from generators.instruction import AgentInstruct
from generators.reversal import Reversal
from generators.revision import SelfRevision
from infra.simulated.start import SimulatedTeacher
from manifests.commits import Commit, read_commits
from manifests.errors import ConfigError
from pipelines.effort import effort
from pipelines.estimate import Estimate, bill, estimates
from tests.pipelines.committed_run import Command, Made, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with SimulatedTeacher() as teacher:
        yield make_run(tmp_path_factory.mktemp("estimate") / "root", teacher.url)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def commits(made: Made) -> dict[str, list[Commit]]:
    return {s.address: list(read_commits(made.store, s.address)) for s in made.plan.steps}


def unmeasured(made: Made) -> dict[str, list[Commit]]:
    return {step.address: [] for step in made.plan.steps}


@pytest.mark.parametrize("name", [*CURATORS, *GENERATORS])
def test_every_method_of_the_catalog_has_an_effort_of_its_own(name: str) -> None:
    each = effort(CURATORS[name] if name in CURATORS else GENERATORS[name])
    assert each.calls >= 1
    assert each.calls != 5.0 or isinstance(GENERATORS.get(name), AgentInstruct)
    assert each.prompt_tokens > each.calls * 100
    assert each.answer_tokens > 0
    assert each.rows > 0


def test_calls_follow_from_the_fields_of_a_method() -> None:
    dialogue, reversal = GENERATORS["dialogue_tutor@1"], GENERATORS["reverse_python_function@1"]
    revision = GENERATORS["revise_mcq_reading@1"]
    assert isinstance(dialogue, Dialogue)
    assert isinstance(reversal, Reversal)
    assert isinstance(revision, SelfRevision)
    assert effort(replace(dialogue, turns=12)).calls == 25
    assert effort(replace(reversal, regenerations=5)).calls == 6
    more = effort(replace(revision, rounds=revision.rounds + 1))
    assert more.calls == effort(revision).calls + 2
    assert effort(GENERATORS["rewrite_easy@1"]).calls == 1


def test_no_more_is_asked_for_an_item_than_was_assumed(made: Made) -> None:
    measured = {e.step: e for e in estimates(made.plan, commits(made))}
    for assumed in estimates(made.plan, unmeasured(made)):
        found = measured[assumed.step]
        assert assumed.assumed
        assert not found.assumed
        assert found.calls / found.items <= assumed.calls / assumed.items


def test_what_was_measured_is_what_the_commits_say(made: Made) -> None:
    by_step = commits(made)
    for one in estimates(made.plan, by_step):
        usage = [commit.stats.teacher for commit in by_step[one.step]]
        assert one.calls == sum(u.calls for u in usage)
        assert one.prompt_tokens == sum(u.prompt_tokens for u in usage)
        assert one.answer_tokens == sum(u.completion_tokens for u in usage)
        assert one.rows == sum(commit.ledger.rows for commit in by_step[one.step])


def test_a_part_of_the_slices_stands_for_all(made: Made) -> None:
    part = {address: found[:1] for address, found in commits(made).items()}
    whole = estimates(made.plan, part)
    assert made.plan.slices == 2
    for one in whole:
        assert one.calls == 2 * part[one.step][0].stats.teacher.calls


def test_tokens_are_counted_behind_the_gates(made: Made) -> None:
    by_step = commits(made)
    screened = made.step("rewrite_quick_screened").address
    by_step[screened] = [
        replace(commit, stats=replace(commit.stats, tokens=11)) for commit in by_step[screened]
    ]
    (one,) = (e for e in estimates(made.plan, by_step) if e.name == "rewrite_quick@1")
    assert one.kept_tokens == 11 * made.plan.slices


ONE = Estimate(
    step="steps/a@1/f",
    name="a@1",
    items=10,
    calls=20,
    prompt_tokens=4000,
    answer_tokens=3_600_000,
    rows=5,
    kept_tokens=400_000,
    assumed=False,
)


def test_a_bill_is_the_tokens_written_at_the_speed_given() -> None:
    plain = bill([ONE], tokens_a_second=500, gpus=2, target_tokens=None)
    assert (plain.scale, plain.gpu_hours, plain.hours) == (1.0, 2.0, 1.0)
    large = bill([ONE], tokens_a_second=500, gpus=64, target_tokens=400e9)
    assert large.scale == 1_000_000
    assert (large.gpu_hours, large.hours) == (2_000_000, 31_250)
    assert large.kept_tokens == 400e9


def test_nothing_kept_gives_no_bill_for_a_target() -> None:
    with pytest.raises(ConfigError, match="keeps no tokens at all"):
        bill([replace(ONE, kept_tokens=0.0)], tokens_a_second=1, gpus=1, target_tokens=1e9)


def test_the_plan_shows_steps_tasks_and_the_bill(made: Made, command: Command) -> None:
    given = ["plan", "quickstart", "--model", "simulated@r1"]
    speed = ["--tokens-per-second", "3000", "--gpus", "64", "--target-tokens", "400e9"]
    out = command.succeeds(*given, *speed)
    assert "assumed: " in out
    assert "400,000,000,000 kept" in out
    assert "on 64 GPUs at 3,000 tokens a second each" in out
    out = command.succeeds(*given, "--root", made.root)
    assert "assumed" not in out
    assert out.count("measured") == 6
    told = json.loads(command.succeeds(*given, "--root", made.root, "--json", *speed))
    assert told["tasks"] == len(made.plan.steps) * made.plan.slices
    assert [step["tasks"] for step in told["steps"]] == [made.plan.slices] * len(made.plan.steps)
    assert told["bill"]["gpu_hours"] == pytest.approx(64 * told["bill"]["hours"])


def test_more_documents_are_planned_for_more_source(tmp_path: Path, command: Command) -> None:
    page = json.dumps({"text": "word " * 800})
    items = []
    for pages in (10, 100):
        file = tmp_path / f"{pages}.jsonl"
        file.write_text(f"{page}\n" * pages)
        given = ["plan", "synthesize", f"prose={file}", "--model", "m@1", "--json"]
        items.append(json.loads(command.succeeds(*given))["estimates"][0]["items"])
    assert items[0] == pytest.approx(10, rel=0.1)
    assert items[1] == pytest.approx(100, rel=0.1)
