import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from generators.agents import UNANSWERABLE
from generators.contract import attempt
from generators.endings import whole_sentences
from generators.instruction import INSTRUCTIONS, AgentInstruct
from generators.scripted import Answer, ScriptedTeacher, tools
from manifests.completions import Completion, FinishReason, Prompt, Usage
from manifests.errors import PromptRefused
from manifests.fingerprint import fingerprint
from manifests.records import Bucket, Grade, Kind, Reason, Record, Rejection, Seed, SeedTags

PASSAGE = (
    "Sea ice reflects most of the sunlight that falls on it, while open water absorbs it. When "
    "ice melts, more water is exposed, the ocean warms, and further ice melts. In 2012 the summer "
    "extent fell to 3.4 million square kilometres. The set {ice, water} has two members."
)
SEED = Seed(
    id="seed-1",
    document_id="document-1",
    source="web",
    url="https://example.org/ice",
    licence="CC-BY-4.0",
    lang="en",
    kind=Kind.PROSE,
    domain="science",
    topic="climate",
    text=PASSAGE,
    start_line=1,
    end_line=3,
    page_edu=4,
    passage_factual=4,
    passage_reasoning=4,
    tags=SeedTags(
        info_type="facts", brief="ice", complexity=Grade.B, obscurity=Grade.B, has_chain=True
    ),
)
BY_NAME = {method.name: method for method in INSTRUCTIONS}
READING = BY_NAME["instruct_reading@1"]
DEBATE = BY_NAME["instruct_reading_debate@1"]
MODIFY = BY_NAME["instruct_modify@1"]
QUICK = BY_NAME["instruct_quick@1"]
ONE = replace(READING, instructions_per_seed=1)

DEBATE_TEXT = (
    "Ada: Sea ice reflects most of the sunlight, so a summer of 3.4 million square kilometres in "
    "2012 should frighten us.\nBen: Open water absorbs it, but one year is no trend.\n"
    "Ada: When ice melts, water is exposed, the ocean warms and further ice melts. That is a loop."
)
GOOD_ANSWER: dict[str, object] = {
    "basis": "Sentence 2.",
    "can_be_answered": "yes",
    "response": "Exposed water takes up sunlight and warms the sea, so the loss feeds itself.",
}
GOOD_VERDICT: dict[str, object] = {
    "analysis": "Sound.",
    "can_be_answered": "yes",
    "follows": 5,
    "grounded": 4,
    "self_contained": 4,
}
KEYS = {"instruction": "write", "edit": "suggest", "response": "answer", "follows": "judge"}


def plain_agent_of(prompt: Prompt) -> str:
    """The same of agents that are asked for plain text; those of a tiny teacher ask for little."""
    request = prompt.messages[-1].content
    asked = {"Write one question": "write", "How can": "suggest", "Write a harder": "edit"}
    asked |= {"Answer the question": "answer"}
    return next((agent for words, agent in asked.items() if words in request), "transform")


def agent_of(prompt: Prompt) -> str:
    """Which agent is asked."""
    if prompt.schema is None:
        return plain_agent_of(prompt)
    properties = json.loads(prompt.schema)["properties"]
    agent = next(agent for key, agent in KEYS.items() if key in properties)
    if agent == "write" and "Apply this edit" in prompt.messages[-1].content:
        return "edit"
    return agent


WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "kelp")


def fresh(n: int) -> str:
    """An instruction unlike those of another `n`."""
    return " ".join(f"{word}{n}" for word in WORDS) + "?"


def teacher(**answers: Answer | Callable[[Prompt, int], Answer]) -> ScriptedTeacher:
    """A good teacher but for the agents named; a callable gets the prompt and a count from 0."""
    counts: dict[str, int] = {}
    usual: dict[str, Callable[[Prompt, int], Answer]] = {
        "transform": lambda prompt, n: DEBATE_TEXT,
        "write": lambda prompt, n: {"instruction": f"Draft {fresh(n)}"},
        "suggest": lambda prompt, n: {"analysis": "Too easy.", "edit": f"Sharpen it {n}."},
        "edit": lambda prompt, n: {"instruction": f"Edited {fresh(n)}"},
        "answer": lambda prompt, n: GOOD_ANSWER,
        "judge": lambda prompt, n: GOOD_VERDICT,
    }

    def script(prompt: Prompt) -> Answer:
        agent = agent_of(prompt)
        n = counts[agent] = counts.get(agent, -1) + 1
        answer = answers.get(agent, usual[agent])
        given = answer(prompt, n) if callable(answer) else answer
        if prompt.schema is None and isinstance(given, dict):
            return str(next(given[key] for key in KEYS if key in given))
        return given

    return ScriptedTeacher(script)


def run(
    method: AgentInstruct, asked: ScriptedTeacher, seed: Seed = SEED
) -> Sequence[Record] | Rejection:
    return asyncio.run(attempt(method, seed, tools(asked)))


def records(outcome: Sequence[Record] | Rejection) -> Sequence[Record]:
    assert not isinstance(outcome, Rejection), outcome
    return outcome


def reason(outcome: Sequence[Record] | Rejection) -> Reason:
    assert isinstance(outcome, Rejection)
    return outcome.reason


def test_a_seed_gives_an_instruction_from_each_of_its_entries() -> None:
    asked = teacher()
    made = records(run(READING, asked))
    assert [r.parts["taxonomy"] for r in made] == [t.name for t in READING.tasks_for(SEED)]
    assert len({r.parts["taxonomy"] for r in made}) == len({r.id for r in made}) == 3
    for record in made:
        assert record.parts["instruction"].startswith("Edited")
        assert record.parts["draft"].startswith("Draft")
        assert record.bucket is Bucket.SYNTHETIC
        assert record.scores == {
            "follows": 5.0,
            "grounded": 4.0,
            "self_contained": 4.0,
            "answerable": 1.0,
        }
        assert record.rounds == 1 + READING.refinements
        assert record.seed_ids == (SEED.id,)


def test_the_record_reads_text_then_instruction_then_answer() -> None:
    (record,) = records(run(ONE, teacher()))
    parts = record.parts
    assert record.text == (
        f"{PASSAGE}\n\nInstruction: {parts['instruction']}\n\nAnswer: {parts['answer']}"
    )


def test_an_answer_of_several_lines_starts_on_its_own() -> None:
    (record,) = records(run(ONE, teacher(answer={**GOOD_ANSWER, "response": "- one\n- two"})))
    assert record.text.endswith("\n\nAnswer:\n- one\n- two")


def test_each_agent_plays_its_role_and_sees_the_text_first() -> None:
    asked = teacher()
    run(replace(DEBATE, instructions_per_seed=1, refinements=1), asked)
    assert [(agent_of(p), p.role) for p in asked.asked] == [
        ("transform", "transformer"),
        ("write", "writer"),
        ("suggest", "critic"),
        ("edit", "writer"),
        ("answer", "writer"),
        ("judge", "critic"),
    ]
    for prompt in asked.asked[1:]:
        assert prompt.messages[0].content.startswith(f"Text:\n\n{DEBATE_TEXT}\n\n")


def test_all_after_a_transformation_is_about_the_new_form() -> None:
    made = records(run(DEBATE, teacher()))
    assert {record.parts["context"] for record in made} == {DEBATE_TEXT}


def test_what_a_seed_gets_follows_from_its_id_alone() -> None:
    assert READING.tasks_for(SEED) == READING.tasks_for(replace(SEED, text="other"))
    seeds = [replace(SEED, id=f"seed-{n}") for n in range(300)]
    first = {READING.tasks_for(seed)[0].name for seed in seeds}
    assert first == {task.name for task in READING.taxonomy}
    assert all(len(set(READING.tasks_for(seed))) == 3 for seed in seeds)
    last = [READING.edits_for(seed, 0)[-1] for seed in seeds]
    assert 0.1 < last.count(UNANSWERABLE) / len(last) < 0.3
    assert all(READING.edits_for(seed, 1)[0] != UNANSWERABLE for seed in seeds)


def test_no_edit_makes_a_modification_unanswerable() -> None:
    assert UNANSWERABLE not in MODIFY.edits


def test_the_editor_gets_the_suggestion_and_the_next_round_the_edited_instruction() -> None:
    asked = teacher()
    run(ONE, asked)
    edits = [p.messages[-1].content for p in asked.asked if agent_of(p) == "edit"]
    assert ["Sharpen it 0." in edits[0], "Sharpen it 1." in edits[1]] == [True, True]
    assert f"Edited {fresh(0)}" in edits[1]


def test_unanswerable_is_the_right_answer_where_answerer_and_judge_agree() -> None:
    no = {**GOOD_ANSWER, "can_be_answered": "no", "response": "The text does not settle this."}
    (record,) = records(
        run(ONE, teacher(answer=no, judge={**GOOD_VERDICT, "can_be_answered": "no"}))
    )
    assert record.scores["answerable"] == 0.0
    assert record.parts["answer"] == "The text does not settle this."


def test_an_answerer_who_disagrees_with_the_judge_on_that_is_refused() -> None:
    no = {**GOOD_VERDICT, "can_be_answered": "no"}
    assert reason(run(ONE, teacher(judge=no))) is Reason.JUDGE
    records(run(replace(QUICK), teacher(judge=no)))


@pytest.mark.parametrize("mark", ["follows", "grounded", "self_contained"])
def test_a_mark_below_its_floor_is_refused(mark: str) -> None:
    outcome = run(ONE, teacher(judge={**GOOD_VERDICT, mark: 3}))
    assert reason(outcome) is Reason.JUDGE
    assert isinstance(outcome, Rejection)
    assert mark in outcome.detail


def test_near_duplicate_instructions_of_a_seed_are_dropped() -> None:
    asked = teacher(edit=lambda prompt, n: {"instruction": f"Edited {fresh(0)} {n}"})
    assert len(records(run(READING, asked))) == 1


def test_one_bad_instruction_does_not_cost_the_others() -> None:
    asked = teacher(judge=lambda prompt, n: {**GOOD_VERDICT, "grounded": 1 if n == 1 else 5})
    assert len(records(run(READING, asked))) == 2


def test_a_prompt_that_the_teacher_refuses_costs_one_instruction() -> None:
    def judge(prompt: Prompt, n: int) -> Answer:
        if n == 0:
            raise PromptRefused("too long")
        return GOOD_VERDICT

    assert len(records(run(READING, teacher(judge=judge)))) == 2
    assert reason(run(ONE, teacher(judge=judge))) is Reason.TEACHER_ERROR


def test_a_bug_in_the_teacher_is_no_rejection() -> None:
    def judge(prompt: Prompt, n: int) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(READING, teacher(judge=judge))


def test_the_reason_of_a_declined_seed_is_what_befell_most_of_its_instructions() -> None:
    asked = teacher(
        answer=lambda prompt, n: "no json" if n == 0 else GOOD_ANSWER,
        judge={**GOOD_VERDICT, "grounded": 1},
    )
    outcome = run(READING, asked)
    assert reason(outcome) is Reason.JUDGE
    assert isinstance(outcome, Rejection)
    assert outcome.detail.startswith("2 of 3 instructions: grounded 1 < 4")


REJECTED: dict[str, tuple[Reason, str, Answer]] = {
    "an answer that loops": (
        Reason.REPETITIVE,
        "answer",
        {**GOOD_ANSWER, "response": "the water is warm " * 12},
    ),
    "an answer that is a refusal": (
        Reason.REFUSAL,
        "answer",
        {**GOOD_ANSWER, "response": "I'm sorry, but I cannot help with that."},
    ),
    "an answer that is no JSON": (Reason.PARSE, "answer", "Certainly! Water."),
    "a mark out of range": (Reason.SCHEMA, "judge", {**GOOD_VERDICT, "grounded": 6}),
    "a suggestion without an edit": (Reason.SCHEMA, "suggest", {"analysis": "fine"}),
    "a cut answer": (
        Reason.TRUNCATED,
        "answer",
        Completion(
            text="{", finish_reason=FinishReason.LENGTH, teacher="scripted@1", usage=Usage()
        ),
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected_is(case: str) -> None:
    why, agent, answer = REJECTED[case]
    assert reason(run(ONE, teacher(**{agent: answer}))) is why


def test_a_modification_that_hands_back_the_text_is_refused() -> None:
    asked = teacher(answer={**GOOD_ANSWER, "response": PASSAGE})
    assert reason(run(MODIFY, asked)) is Reason.LOW_QUALITY
    records(run(ONE, asked))


def test_a_new_form_must_keep_the_content_of_the_seed() -> None:
    lost = "Ada: Taxes are high.\nBen: They pay for roads, schools and the police.\nAda: Perhaps."
    assert reason(run(DEBATE, teacher(transform=lost))) is Reason.UNFAITHFUL
    loop = "Ada: Sea ice melts in the sun again.\n" * 5
    assert reason(run(DEBATE, teacher(transform=loop))) is Reason.REPETITIVE
    chat = "I'm sorry, but I can't write that debate."
    assert reason(run(DEBATE, teacher(transform=chat))) is Reason.REFUSAL


def test_code_and_long_sources_are_not_asked_about() -> None:
    asked = teacher()
    assert reason(run(READING, asked, replace(SEED, kind=Kind.CODE))) is Reason.UNSUITED
    assert reason(run(QUICK, asked, replace(SEED, text="word " * 201))) is Reason.TOO_LONG
    assert not asked.asked


def test_a_string_that_fills_its_limit_ends_with_its_last_whole_sentence() -> None:
    full = {**GOOD_ANSWER, "response": ("The sea warms. " + "ice and water " * 900)[:12_000]}
    (record,) = records(run(ONE, teacher(answer=full)))
    assert record.parts["answer"] == "The sea warms."
    endless = {**GOOD_ANSWER, "response": "x" * 12_000}
    assert reason(run(ONE, teacher(answer=endless))) is Reason.TRUNCATED
    assert whole_sentences("No stop here", 100) == "No stop here"


def test_a_tiny_teacher_is_asked_five_times_and_every_answer_is_bounded() -> None:
    asked = teacher()
    assert len(records(run(QUICK, asked))) == 1
    assert len(asked.asked) == 5
    for prompt in asked.asked:
        if prompt.schema is None:
            assert prompt.decoding.stop
            continue
        for value in json.loads(prompt.schema)["properties"].values():
            assert value["type"] == "integer" or "enum" in value or value["maxLength"] <= 80


@pytest.mark.parametrize("method", INSTRUCTIONS, ids=lambda method: method.name)
def test_every_flavour_renders_a_seed_with_braces_and_makes_records(method: AgentInstruct) -> None:
    seed = replace(SEED, topic="{0} {topic}")
    asked = teacher(transform=PASSAGE)
    made = records(run(method, asked, seed))
    assert len(made) == method.instructions_per_seed
    assert all("{ice, water}" in prompt.messages[-1].content for prompt in asked.asked)


def test_every_field_is_part_of_the_identity() -> None:
    changed: dict[str, Any] = {
        "transformation": DEBATE.transformation,
        "taxonomy": MODIFY.taxonomy,
        "agents": QUICK.agents,
        "floors": QUICK.floors,
        "edits": QUICK.edits,
        "name": "other@1",
    }
    known = fingerprint(READING)
    for field in fields(READING):
        value = changed.get(field.name)
        if value is None:
            value = getattr(READING, field.name) + 1
        assert fingerprint(replace(READING, **{field.name: value})) != known


def test_the_same_answers_give_the_same_records() -> None:
    assert run(READING, teacher()) == run(READING, teacher())
