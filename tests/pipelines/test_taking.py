"""What is counted and taken, without a cluster: in slice order, and proved from the files alone."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from manifests import layout
from manifests.commits import read_commits
from manifests.raw_files import RawFiles
from manifests.records import Reject
from manifests.store import open_store
from manifests.verify import Report, Verifier
from pipelines.amounts import parse_wants, with_wants
from pipelines.ceilings import WorkingTime
from pipelines.plan import Plan, close_taken, record_plan
from pipelines.quota import Quota
from pipelines.step import Step
from pipelines.work.outcome import Outcome, commit_outcome
from pipelines.work.screen import Screen
from pipelines.work.spent import costs
from pipelines.work.take import SURPLUS, Take, Unit
from tests.pipelines.committed_run import Made, make_run


def quota(amount: int, slices: int = 40, window: int = 4) -> Quota:
    screened = Step(name="x_screened", version=1, work=Screen(gates=(), tokenizer="t"))
    take = Take(amount=amount, unit=Unit.RECORDS, tokenizer="t")
    return Quota(Step(name="x_taken", version=1, work=take, inputs=(screened,)), slices, window)


@pytest.mark.parametrize("seed", range(20))
def test_what_counts_does_not_depend_on_the_order_of_commits(seed: int) -> None:
    rng = random.Random(seed)
    gives = [rng.choice((0, 0, 1, 3, 7)) for _ in range(40)]
    amount = rng.randint(1, sum(gives))
    last = next(n for n in range(40) if sum(gives[: n + 1]) >= amount)
    shuffled = rng.sample(range(40), 40)
    asked = quota(amount)
    counted = [n for at in shuffled for n in asked.screened_slice(at, gives[at])]
    assert counted == list(range(last + 1))
    assert [asked.before(n) for n in counted] == [sum(gives[:n]) for n in counted]
    assert (asked.reached, asked.exhausted, asked.horizon) == (True, False, last + 1)
    assert list(asked.screened_slice(0, gives[0])) == []  # a second driver's


def test_no_more_is_begun_than_the_yield_so_far_asks_for() -> None:
    asked = quota(20)
    assert asked.horizon == 4  # nothing is known: what can be in flight
    asked.screened_slice(1, 0)
    assert asked.horizon == 4
    asked.screened_slice(0, 4)
    assert asked.horizon == 2 + 8  # two in the mean, sixteen lacking
    asked.screened_slice(9, 16)
    assert asked.horizon == 5  # slices gave 6.7 in the mean: three more of the gap will do
    assert not asked.reached
    poor = quota(1000)
    for number in range(40):
        assert number < poor.horizon <= 40
        poor.screened_slice(number, 1)
    assert poor.exhausted


def test_two_drivers_at_once_are_one_hour_and_a_kill_resets_none(tmp_path: Path) -> None:
    store, now = open_store(str(tmp_path / "root")), time.time()
    for who, (start, end) in enumerate([(7200, 5400), (6300, 4500), (3600, 1800)]):
        mark = {"started": now - start, "seen": now - end}
        store.put(f"{layout.hours_prefix('r')}{who}.json", json.dumps(mark).encode())
    spent = WorkingTime(store, "r").hours()
    assert spent == pytest.approx(0.75 + 0.5, abs=0.01)
    assert WorkingTime(store, "another").hours() < 0.01


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, prose_of: Callable[[int, int], str]) -> Made:
    folder = tmp_path_factory.mktemp("sources")
    for file in range(4):
        lines = [json.dumps({"text": prose_of(file, number)}) + "\n" for number in range(4)]
        (folder / f"{file}.jsonl").write_text("".join(lines))
    with SimulatedTeacher(Settings(mean_tokens=100)) as teacher:
        return make_run(
            tmp_path_factory.mktemp("taking") / "root",
            teacher.url,
            f"prose={folder}",
            "prose_format=jsonl",
            "prose_curator=seeds_quick@1",
            "generators=rewrite_quick@1",
            "slice_bytes=1",
            name="synthesize",
        )


def taking(made: Made, want: str) -> tuple[Step, Plan, list[int]]:
    """A step that takes, planned on the run's root, and what each slice has for it."""
    (end,) = with_wants(made.plan.ends, parse_wants([want]))
    plan = Plan(
        recipe="synthesize",
        arguments={},
        ends=(end,),
        slices=made.plan.slices,
        inventory=made.plan.inventory,
    )
    record_plan(made.store, plan, accept_code=False)
    assert isinstance(end.work, Take)
    screened = read_commits(made.store, end.inputs[0].address)
    order = sorted(screened, key=lambda commit: commit.slice_index)
    return end, plan, [end.work.counted(commit) for commit in order]


def outcome(made: Made, step: Step, number: int, before: int) -> Outcome:
    assert isinstance(step.work, Take)
    return step.work.run(made.store, [step.inputs[0].address], number, before)


def verified(made: Made, step: Step) -> list[Report]:
    return list(Verifier(RawFiles(made.root)).verify_all(step.address, complete=True))


def test_what_the_gates_drop_is_charged_to_their_reasons(made: Made) -> None:
    screened = list(read_commits(made.store, made.step("rewrite_quick_screened").address))
    written = list(read_commits(made.store, made.step("rewrite_quick").address))
    kept = sum(commit.stats.spent.get("accepted", 0) for commit in screened)
    dropped = sum(
        tokens
        for commit in screened
        for reason, tokens in commit.stats.spent.items()
        if commit.ledger.rejected.get(reason)
    )
    assert kept > 0 < dropped
    assert kept + dropped == sum(commit.stats.spent["accepted"] for commit in written)


@pytest.mark.parametrize("unit", ["records", "tokens"])
def test_just_so_much_is_taken_and_the_verifier_agrees(made: Made, unit: str) -> None:
    _, _, gives = taking(made, f"1{unit}")
    full = [number for number, amount in enumerate(gives) if amount]
    amount = sum(gives[: full[1] + 1]) - 1  # a part of the second slice that gives any
    step, _, _ = taking(made, f"{amount}{unit}")
    screened = read_commits(made.store, step.inputs[0].address)
    passed = {c.slice_index: c.stats.spent.get("accepted", 0) for c in screened}
    kept = 0
    for number in range(full[1] + 1):
        taken = outcome(made, step, number, sum(gives[:number]))
        assert sum(taken.spent.values()) == passed[number]
        assert taken.spent.get("accepted", 0) == int(costs(taken.table).sum())
        commit, _ = commit_outcome(made.store, step.address, number, taken)
        assert isinstance(step.work, Take)
        kept += step.work.counted(commit)
    close_taken(made.store, step, full[1] + 1)
    assert [r.findings for r in verified(made, step)] == [[]] * 5
    if unit == "records":
        assert kept == amount
    else:
        assert kept - int(taken.table["tokens"][-1].as_py()) < amount <= kept


def test_a_take_that_is_not_the_first_so_many_is_found(made: Made) -> None:
    _, _, gives = taking(made, "1records")
    full = [number for number, amount in enumerate(gives) if amount]
    amount = sum(gives[: full[0] + 1]) + 1

    def found(name: str, change: str) -> set[str]:
        step, _, _ = taking(made, f"{amount}records")
        renamed = Step(name=name, version=1, work=step.work, inputs=step.inputs)
        plan = Plan(
            recipe=name,
            arguments={},
            ends=(renamed,),
            slices=made.plan.slices,
            inventory=made.plan.inventory,
        )
        record_plan(made.store, plan, accept_code=False)
        for number in range(full[1] + 1):
            taken = outcome(made, renamed, number, sum(gives[:number]))
            if number == full[0]:
                taken = changed(taken, change)
            commit_outcome(made.store, renamed.address, number, taken)
        close_taken(made.store, renamed, full[1] + 1)
        return {f.what for f in verified(made, renamed)[0].findings}

    assert found("sound_taken", "nothing") == set()
    early = found("early_taken", "fewer")
    assert any(what.startswith(f"rows of slice {full[0]} are left at ") for what in early)
    late = found("late_taken", "other reason")
    assert any(what.startswith("refuses rows for low_quality") for what in late)
    other = found("other_taken", "backwards")
    assert "its rows are not the first rows of its input, in their order" in other


def changed(taken: Outcome, how: str) -> Outcome:
    table, rejects = taken.table, list(taken.rejects)
    if how in ("fewer", "other reason"):
        reason = SURPLUS if how == "fewer" else "low_quality"
        last = table["id"][-1].as_py()
        rejects.append(Reject(item_id=last, reason=reason, detail="", by="t", text=""))
        table = table.slice(0, table.num_rows - 1)
    elif how == "backwards":
        table = table.take(list(reversed(range(table.num_rows))))
    return Outcome(
        row_type="record",
        table=table,
        rejects=rejects,
        inputs=taken.inputs,
        tokenizer=taken.tokenizer,
    )
