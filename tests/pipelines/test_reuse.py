"""A new version of a step asks only what it changed: answers are taken over by their questions."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from generators.asking import ask_messages
from generators.contract import Tools
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.resolve import resolve
from manifests import layout
from manifests.commits import Commit
from manifests.completions import Decoding, Message
from manifests.fingerprint import content_id
from manifests.records import (
    Record,
    Seed,
)
from manifests.segments import read_segments
from manifests.shards import read_shard
from manifests.store import Store, open_store
from manifests.tables import from_table, to_table
from manifests.tokenizers import Tokenizer
from pipelines.work.generate import Generate, GenerateTask, run_generate
from pipelines.work.outcome import Outcome, commit_outcome
from pipelines.worker import Worker, WorkerConfig
from tests.pipelines.lamps import seed, written

SEEDS = 3
INPUT = "steps/seeds@1/input"
DECODING = Decoding(temperature=0.7, max_tokens=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiveCalls:
    """Asks five questions about a seed; the fourth and fifth may lead on from the third."""

    name: str = "five@1"
    third: str = "And why?"
    chained: bool = False
    decoding: Decoding = DECODING
    first_sample: int = 0

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        answers: list[str] = []
        for question in ("What?", "Where?", self.third, "Who?", "When?"):
            before = answers[2] if self.chained and len(answers) > 2 else ""
            asked = Message(role="user", content=f"{row.text}\n{before}\n{question}")
            answers.append(
                await ask_messages(tools, (asked,), self.decoding, sample=self.first_sample)
            )
        return [written(self.name, row, answers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoVotes:
    """Asks one question twice."""

    name: str = "votes@1"

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        asked = (Message(role="user", content=row.text),)
        decoding = Decoding(temperature=1.0, max_tokens=600)
        votes = [await ask_messages(tools, asked, decoding, sample=n) for n in range(2)]
        return [written(self.name, row, votes)]


@pytest.fixture(scope="module")
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(Settings(mean_tokens=30)) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path, teacher: SimulatedTeacher) -> Store:
    """With the seeds committed."""
    teacher.reset()
    store = open_store(str(tmp_path))
    seeds = [seed(number) for number in range(SEEDS)]
    table = to_table(seeds, [row.id for row in seeds], Seed)
    commit_outcome(store, INPUT, 0, Outcome(row_type="seed", table=table, rejects=()))
    return store


def run(
    store: Store,
    teacher: SimulatedTeacher,
    method: FiveCalls | TwoVotes,
    *,
    reuse: tuple[str, ...] = (),
) -> Commit:
    """Run the only task of a step, in a worker of its own, to its commit."""

    return asyncio.run(started(store, teacher, method, reuse=reuse))


async def started(
    store: Store,
    teacher: SimulatedTeacher,
    method: FiveCalls | TwoVotes,
    *,
    reuse: tuple[str, ...] = (),
) -> Commit:
    endpoints = await resolve([teacher.url], None)
    name = endpoints[0].teacher.name
    config = WorkerConfig(root=store.url, endpoints=endpoints, roles={"writer": name}, code="this")
    work = Generate(
        method=method, makes="record", teachers=(("writer", name),), tokenizer=Tokenizer()
    )
    task = GenerateTask(
        work=work, step=address(method, name), input_step=INPUT, slice=0, reuse=reuse
    )
    worker = Worker(config)
    await worker.start()
    try:
        return await run_generate(task, worker)
    finally:
        await worker.stop()


def address(method: FiveCalls | TwoVotes, teacher: str) -> str:
    return f"steps/{method.name}/{content_id(repr(method), teacher)}"


def asked(teacher: SimulatedTeacher) -> int:
    number: int = teacher.stats()["requests"]
    return number


@pytest.mark.parametrize(("chained", "changed"), [(False, 1), (True, 3)])
def test_an_edited_prompt_asks_only_the_calls_that_it_changed(
    store: Store, teacher: SimulatedTeacher, chained: bool, changed: int
) -> None:
    old = FiveCalls(chained=chained)
    edited = replace(old, name="five@2", third="And how does one know?")
    first = run(store, teacher, old)
    assert asked(teacher) == 5 * SEEDS

    run(store, teacher, edited, reuse=(first.step,))
    assert asked(teacher) == (5 + changed) * SEEDS


def test_nothing_is_taken_over_unless_it_is_asked_for(
    store: Store, teacher: SimulatedTeacher
) -> None:
    run(store, teacher, FiveCalls())
    run(store, teacher, FiveCalls(name="five@2", third="And how does one know?"))
    assert asked(teacher) == 10 * SEEDS


def test_what_was_taken_over_can_be_taken_over_again(
    store: Store, teacher: SimulatedTeacher
) -> None:
    first = run(store, teacher, FiveCalls())
    second = run(store, teacher, FiveCalls(name="five@2", third="How so?"), reuse=(first.step,))
    third = FiveCalls(name="five@3", third="Since when?")
    run(store, teacher, third, reuse=(second.step,))
    assert asked(teacher) == 7 * SEEDS


@pytest.mark.parametrize(
    "other",
    [
        FiveCalls(name="five@2", decoding=Decoding(temperature=0.8, max_tokens=600)),
        FiveCalls(name="five@2", decoding=Decoding(temperature=0.7, max_tokens=601)),
        FiveCalls(name="five@2", first_sample=1),
    ],
    ids=["temperature", "max_tokens", "sample"],
)
def test_another_decoding_or_sample_takes_nothing_over(
    store: Store, teacher: SimulatedTeacher, other: FiveCalls
) -> None:
    first = run(store, teacher, FiveCalls())
    run(store, teacher, other, reuse=(first.step,))
    assert asked(teacher) == 10 * SEEDS


def test_another_revision_of_the_teacher_takes_nothing_over(
    store: Store, teacher: SimulatedTeacher
) -> None:
    first = run(store, teacher, FiveCalls())
    with SimulatedTeacher(Settings(mean_tokens=30, revision="r2")) as newer:
        run(store, newer, FiveCalls(name="five@2"), reuse=(first.step,))
        assert asked(newer) == 5 * SEEDS


def test_two_votes_with_equal_words_stay_two_answers_in_a_replay(
    store: Store, teacher: SimulatedTeacher
) -> None:
    before = run(store, teacher, TwoVotes())
    store.delete(layout.commit_file(before.step, before.task))
    after = run(store, teacher, TwoVotes())

    assert asked(teacher) == 2 * SEEDS
    assert after.digest == before.digest
    data = read_shard(store, layout.data_file(after.step, after.data.sha256), after.data)
    for record in from_table(Record, data):
        assert len({call.prompt for call in record.lineage}) == 2
        assert len({call.completion for call in record.lineage}) == 2
        assert len(set(record.text.split("\n---\n"))) == 2


def test_a_committed_task_keeps_exactly_the_answers_that_its_records_name(
    store: Store, teacher: SimulatedTeacher
) -> None:
    first = run(store, teacher, FiveCalls())
    assert kept_answers(store, first) == named_answers(store, first)
    assert len(list(store.list(layout.completions_prefix(first.step, first.task)))) == 1


def test_of_two_runs_at_once_with_other_answers_only_the_winners_stay(
    store: Store, teacher: SimulatedTeacher
) -> None:
    slow = Settings(mean_tokens=30, seed=1, seconds_per_token=0.02)
    with SimulatedTeacher(slow) as other:
        other.rules([{"containing": "lighthouse", "answer": "Nobody remembers."}])

        async def both() -> list[Commit]:
            runs = (started(store, t, FiveCalls()) for t in (teacher, other))
            return list(await asyncio.gather(*runs))

        first, second = asyncio.run(both())
        assert asked(other)
    assert first == second
    assert kept_answers(store, first) == named_answers(store, first)
    assert len(list(store.list(layout.completions_prefix(first.step, first.task)))) == 1


def kept_answers(store: Store, commit: Commit) -> dict[str, str]:
    """Digests of the task's answers in the store, by their prompts."""
    kept = read_segments(store, layout.completions_prefix(commit.step, commit.task))
    return {key: completion.digest for key, completion in kept.items()}


def named_answers(store: Store, commit: Commit) -> dict[str, str]:
    """Digests of the answers that the task's records name."""
    data = read_shard(store, layout.data_file(commit.step, commit.data.sha256), commit.data)
    rows = from_table(Record, data)
    return {call.prompt: call.completion for row in rows for call in row.lineage}
