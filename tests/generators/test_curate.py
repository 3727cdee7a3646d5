import asyncio
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from generators.contract import attempt
from generators.scripted import Answer, ScriptedTeacher, tools
from generators.seeds.curate import BOOK, CODE, QUICK, SEED_CURATORS, WEB, SeedCurator
from manifests.completions import Completion, FinishReason, Prompt, Usage
from manifests.errors import PromptRefused, TeacherUnavailable
from manifests.fingerprint import fingerprint
from manifests.records import Grade, Kind, Reason, Rejection, Seed, SeedDocument, document_id

SMALL = replace(WEB, name="small@1", min_words=5, max_words=40)
CHAIN = "The pot is warmer than the room.\nHeat flows to cold bodies, so the pot cools down slowly."
TEXT = (
    f"# Cooling\n\n{CHAIN}\n\n# Braces\n\nA set is written {{a, b}} and a field is {{title}} here."
)

TAGS: dict[str, object] = {
    "brief": "Why a pot cools.",
    "complexity": "B",
    "domain": "physical sciences",
    "has_chain": True,
    "info_type": "explanation",
    "obscurity": "A",
    "topic": "heat flow",
}
STEP: dict[str, object] = {
    "assumption": "heat flows to cold bodies",
    "conclusion": "the pot cools down slowly",
    "description": "Because the room is colder.",
    "start_line": 4,
    "end_line": 4,
}


def document(text: str = TEXT, kind: Kind = Kind.PROSE) -> SeedDocument:
    return SeedDocument(
        id=document_id("test", "file:1", text),
        source="test",
        url="file:1",
        licence="CC0-1.0",
        lang="en",
        kind=kind,
        title="On {heat}",
        text=text,
        sha256="0" * 64,
    )


def answers(
    page: Answer | None = None,
    passage: Answer | None = None,
    tags: Answer | None = None,
    steps: list[dict[str, object]] | None = None,
) -> Callable[[Prompt], Answer]:
    """What a curator answers to each of the four questions, told apart by their schemas."""

    def answer(prompt: Prompt) -> Answer:
        schema = prompt.schema or ""
        if '"title":"PageScore"' in schema:
            return page or {"critique": "Good.", "score": 4}
        if '"title":"PassageScore"' in schema:
            return passage or {"critique": "Good.", "factual": 4, "reasoning": 2}
        if '"title":"Tags"' in schema:
            return tags or TAGS
        return {"dependencies": ["heat"], "steps": [STEP] if steps is None else steps}

    return answer


def script(**given: Any) -> ScriptedTeacher:
    return ScriptedTeacher(answers(**given))


def curate(
    teacher: ScriptedTeacher, row: SeedDocument | None = None, curator: SeedCurator = SMALL
) -> list[Seed] | Rejection:
    outcome = asyncio.run(attempt(curator, row or document(), tools(teacher)))
    return outcome if isinstance(outcome, Rejection) else list(outcome)


def seeds(
    teacher: ScriptedTeacher, row: SeedDocument | None = None, curator: SeedCurator = SMALL
) -> list[Seed]:
    outcome = curate(teacher, row, curator)
    assert isinstance(outcome, list), outcome
    return outcome


def refusal(
    teacher: ScriptedTeacher, row: SeedDocument | None = None, curator: SeedCurator = SMALL
) -> Rejection:
    outcome = curate(teacher, row, curator)
    assert isinstance(outcome, Rejection)
    return outcome


def test_a_good_page_gives_a_tagged_seed_for_each_passage() -> None:
    first, second = seeds(script())
    assert (first.start_line, first.end_line) == (1, 4)
    assert first.text == "\n".join(TEXT.split("\n")[0:4])
    assert (first.page_edu, first.passage_factual, first.passage_reasoning) == (4, 4, 2)
    assert (first.domain, first.topic, first.licence) == (
        "physical sciences",
        "heat flow",
        "CC0-1.0",
    )
    assert first.tags.complexity is Grade.B
    assert first.tags.has_chain
    assert first.tags.steps[0].conclusion == "the pot cools down slowly"
    assert first.tags.dependencies == ("heat",)
    assert second.start_line == 6
    assert not second.tags.has_chain, "the same claimed step is not in the second passage"
    assert not second.tags.steps
    assert not second.tags.dependencies
    assert first.id != second.id


def test_the_prompts_show_numbered_lines_and_leave_braces_of_the_source_alone() -> None:
    teacher = script()
    seeds(teacher)
    asked = [prompt.messages[-1].content for prompt in teacher.asked]
    assert all(prompt.role == "curator" and prompt.schema for prompt in teacher.asked)
    assert "Title: On {heat}" in asked[0]
    assert any("3: A set is written {a, b} and a field is {title} here." in text for text in asked)


def test_a_page_below_its_score_costs_one_call_and_says_why() -> None:
    teacher = script(page={"critique": "Mostly\nadvertising.", "score": 2})
    assert refusal(teacher) == Rejection(
        reason=Reason.LOW_QUALITY, detail="page_edu 2 < 3: Mostly advertising."
    )
    assert len(teacher.asked) == 1


def test_either_score_keeps_a_passage_and_none_declines_the_page() -> None:
    reasoned = script(passage={"critique": "x", "factual": 0, "reasoning": 3})
    assert len(seeds(reasoned)) == 2
    poor = refusal(script(passage={"critique": "x", "factual": 2, "reasoning": 2}))
    assert poor.reason is Reason.LOW_QUALITY
    assert poor.detail == "2 of 2 passages: factual 2, reasoning 2"


@pytest.mark.parametrize(
    "bad",
    [
        {"start_line": 0},
        {"end_line": 5},
        {"start_line": 4, "end_line": 3},
        {"start_line": 1, "end_line": 2},
        {"conclusion": "black holes evaporate over time"},
        {"assumption": "The pot cools down slowly"},
    ],
)
def test_an_invented_step_is_dropped_and_the_chain_corrected(bad: dict[str, object]) -> None:
    (first, _) = seeds(script(steps=[{**STEP, **bad}]))
    assert not first.tags.has_chain
    assert first.tags.steps == ()
    (first, _) = seeds(script(steps=[{**STEP, **bad}, STEP, STEP]))
    assert first.tags.has_chain
    assert len(first.tags.steps) == 1


def test_steps_are_asked_for_only_where_there_is_a_chain() -> None:
    teacher = script(tags={**TAGS, "has_chain": False})
    assert not any(seed.tags.has_chain for seed in seeds(teacher))
    assert len(teacher.asked) == 1 + 2 + 2


def test_a_malformed_answer_loses_its_passage_and_a_page_of_them_is_declined() -> None:
    assert refusal(script(tags={**TAGS, "complexity": "F"})).reason is Reason.SCHEMA
    assert refusal(script(tags={**TAGS, "brief": "x" * 161})).reason is Reason.SCHEMA
    assert refusal(script(page={"critique": "x", "score": 6})).reason is Reason.SCHEMA
    assert refusal(script(page="no JSON")).reason is Reason.PARSE

    def one_bad(prompt: Prompt) -> Answer:
        if '"title":"Tags"' in (prompt.schema or "") and "Braces" in prompt.messages[-1].content:
            return "no JSON"
        return answers()(prompt)

    assert [seed.start_line for seed in seeds(ScriptedTeacher(one_bad))] == [1]


def test_a_truncated_answer_is_declined_as_such() -> None:
    cut = Completion(
        text="{", finish_reason=FinishReason.LENGTH, teacher="scripted@1", usage=Usage()
    )
    assert refusal(script(page=cut)).reason is Reason.TRUNCATED
    assert refusal(script(tags=cut)).reason is Reason.TRUNCATED


def test_a_refused_prompt_is_data_and_an_outage_is_raised_bare() -> None:
    def refuse(prompt: Prompt) -> Answer:
        if '"title":"PassageScore"' in (prompt.schema or ""):
            raise PromptRefused("413: too long")
        return answers()(prompt)

    assert refusal(ScriptedTeacher(refuse)).reason is Reason.TEACHER_ERROR

    def fail(prompt: Prompt) -> Answer:
        if '"title":"PassageScore"' in (prompt.schema or ""):
            raise TeacherUnavailable("no replica answers")
        return answers()(prompt)

    with pytest.raises(TeacherUnavailable):
        curate(ScriptedTeacher(fail))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (document(kind=Kind.CODE), Reason.UNSUITED),
        (document(" \n "), Reason.EMPTY),
        (document("Two words."), Reason.TOO_SHORT),
        (
            document("The law \ufffd\ue001\ue002 holds for all bodies of this sort."),
            Reason.LOW_QUALITY,
        ),
        (document("word " * 60), Reason.UNSUITED),
    ],
)
def test_a_page_that_cannot_be_used_costs_the_teacher_no_passage(
    row: SeedDocument, reason: Reason
) -> None:
    teacher = script()
    assert refusal(teacher, row).reason is reason
    assert len(teacher.asked) <= 1


def test_boilerplate_passages_are_left_out_before_anyone_is_asked() -> None:
    notice = (
        "# Notice\n\nCopyright 2020 by us. All rights reserved.\nSubscribe to our newsletter now."
    )
    (seed, _) = seeds(script(), document(f"{notice}\n\n{TEXT}"))
    assert seed.text.startswith("# Cooling")
    assert refusal(script(), document(notice)).reason is Reason.LOW_QUALITY


def test_at_most_so_many_passages_are_taken_evenly_over_the_document() -> None:
    text = "\n\n".join(f"# Part {n}\n\nSix words about this very subject." for n in range(10))
    few = replace(SMALL, max_passages=2)
    assert [seed.start_line for seed in seeds(script(), document(text), few)] == [1, 21]


def test_a_long_page_is_shown_from_its_beginning_middle_and_end() -> None:
    text = "\n".join(f"Sentence number {n} of a long page." for n in range(200))
    teacher = script()
    seeds(teacher, document(text), replace(SMALL, page_words=60))
    shown = teacher.asked[0].messages[-1].content
    assert "number 0 " in shown
    assert "number 100 " in shown
    assert "number 199 " in shown
    assert "number 50 " not in shown


def test_code_gives_one_seed_per_definition() -> None:
    text = "import os\n\n\ndef add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
    small = replace(CODE, min_words=3)
    found = seeds(script(), document(text, Kind.CODE), small)
    assert [seed.text for seed in found] == [
        "def add(a, b):\n    return a + b",
        "def sub(a, b):\n    return a - b",
    ]
    assert {seed.kind for seed in found} == {Kind.CODE}


def test_the_quick_curator_keeps_what_a_tiny_teacher_scores_at_random() -> None:
    teacher = script(
        page={"critique": "?", "score": 0},
        passage={"critique": "?", "factual": 0, "reasoning": 0},
        tags={**TAGS, "has_chain": False},
    )
    found = seeds(
        teacher, document("\n\n".join(["Six words about one small subject. " * 6] * 6)), QUICK
    )
    assert len(found) == 2
    assert {seed.page_edu for seed in found} == {0}


def test_asking_again_gives_the_same_seeds() -> None:
    assert seeds(script()) == seeds(script())


@pytest.mark.parametrize("curator", SEED_CURATORS, ids=lambda c: c.name)
def test_a_curator_survives_the_trip_to_a_worker_with_its_identity(curator: SeedCurator) -> None:
    copy = pickle.loads(pickle.dumps(curator))  # noqa: S301
    assert copy == curator
    assert fingerprint(copy) == fingerprint(curator)
    reworded = replace(curator.texts, page=replace(curator.texts.page, user="{title} {document}"))
    assert fingerprint(replace(curator, texts=reworded)) != fingerprint(curator)


def test_names_are_unique_and_versioned() -> None:
    names = [curator.name for curator in (WEB, BOOK, CODE, QUICK)]
    assert len(set(names)) == len(SEED_CURATORS) == 4
    assert all(name.partition("@")[2] == "1" for name in names)
