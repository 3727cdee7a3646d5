import asyncio
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from generators.contract import attempt
from generators.revision import REVISIONS, SelfRevision
from generators.revision_exercise import (
    Choice,
    Exercise,
    Open,
    exercise_of,
    flaws,
    longest_ratio,
    overlap,
)
from generators.scripted import Answer, ScriptedTeacher, tools
from manifests.completions import Prompt
from manifests.fingerprint import fingerprint
from manifests.records import Bucket, Grade, Kind, Reason, Record, Rejection, Seed, SeedTags

PASSAGE = (
    "Sea ice reflects most of the sunlight that falls on it, while open water absorbs it. When "
    "ice melts, more water is exposed, the ocean warms, and further ice melts. In 2012 the summer "
    "extent fell to 3.4 million square kilometres."
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
READING, KNOWLEDGE, OPEN, CLAIM, QUICK = REVISIONS

GOOD: dict[str, object] = {
    "plan": "Ask for the direction of the feedback.",
    "question": "Why does a first loss of sea ice lead to further loss?",
    "reasoning": (
        "Open water absorbs the sunlight that ice reflects. So when ice melts, more water is "
        "exposed and the ocean warms, and that melts further ice."
    ),
    "right": "Exposed water absorbs sunlight and warms",
    "wrong": [
        "Exposed water reflects sunlight upwards",
        "Melting ice absorbs heat from the air",
        "The summer extent limits the sunlight",
    ],
}
OPEN_GOOD: dict[str, object] = {
    "plan": "Feedback.",
    "question": "Ice gives way to water on an ocean. What happens to its temperature, and why?",
    "reasoning": "Open water absorbs sunlight that ice reflects. More exposed water warms it.",
    "solution": "The ocean warms",
}


def role_of(prompt: Prompt) -> str:
    """Which of the method's questions this is, by the properties of the asked-for answer."""
    asked = set(json.loads(prompt.schema or "{}")["properties"])
    if "winner" in asked:
        return "compare"
    if "same" in asked:
        return "same"
    if "accuracy" in asked:
        return "critique"
    return "solve" if prompt.role == "solver" else "draft"


def marks(prompt: Prompt, score: int, **others: int) -> dict[str, object]:
    items = json.loads(prompt.schema or "{}")["properties"]
    return {item: {"advice": f"on {item}", "score": others.get(item, score)} for item in items}


def key_of(draft: dict[str, object]) -> str:
    return exercise_of(Choice.model_validate(draft)).key


def teacher(
    drafts: Sequence[dict[str, object]],
    critic: Callable[[Prompt, int], Answer],
    *,
    solution: str = "",
    prefers: Callable[[Prompt, int], str] = lambda prompt, n: "1",
    same: str = "no",
) -> ScriptedTeacher:
    """A teacher whose drafts, critiques and comparisons are counted, each from 0."""
    counts = {"draft": 0, "critique": 0, "compare": 0, "solve": 0, "same": 0}

    def script(prompt: Prompt) -> Answer:
        role = role_of(prompt)
        n = counts[role]
        counts[role] += 1
        match role:
            case "draft":
                return drafts[n]
            case "critique":
                return critic(prompt, n)
            case "compare":
                return {"comparison": "c", "winner": prefers(prompt, n)}
            case "same":
                return {"comparison": "c", "same": same}
            case _:
                return {"reasoning": "r", "solution": solution or key_of(drafts[-1])}

    return ScriptedTeacher(script)


def roles(asked: Sequence[Prompt]) -> list[str]:
    return [role_of(prompt) for prompt in asked]


def run(
    method: SelfRevision, asked: ScriptedTeacher, seed: Seed = SEED
) -> Sequence[Record] | Rejection:
    return asyncio.run(attempt(method, seed, tools(asked)))


def one(outcome: Sequence[Record] | Rejection) -> Record:
    assert not isinstance(outcome, Rejection), outcome
    (record,) = outcome
    return record


def refused(outcome: Sequence[Record] | Rejection) -> Rejection:
    assert isinstance(outcome, Rejection)
    return outcome


def wins(text: str) -> Callable[[Prompt, int], str]:
    """A comparison that always prefers the exercise whose question is `text`."""

    def prefer(prompt: Prompt, n: int) -> str:
        body = prompt.messages[-1].content
        return "1" if text in body.split("Exercise 2:")[0] else "2"

    return prefer


def test_a_good_first_draft_is_kept_without_a_revision() -> None:
    asked = teacher([GOOD], lambda prompt, n: marks(prompt, 4))
    record = one(run(READING, asked))
    assert record.rounds == 1
    assert roles(asked.asked) == ["draft", "critique", "solve", "solve"]
    assert record.bucket is Bucket.SYNTHETIC
    assert record.text.startswith(PASSAGE)
    options = json.loads(record.parts["options"])
    assert options[record.parts["answer"]] == GOOD["right"]
    assert record.text.index(record.parts["reasoning"]) < record.text.index("Answer: ")
    assert record.scores["final_accuracy"] == record.scores["first_accuracy"] == 4.0
    assert record.scores["closed_book"] == 1.0


def test_a_revision_sees_its_draft_and_the_critique_and_must_win_in_both_orders() -> None:
    better = {**GOOD, "question": "Which step closes the loop by which ice loss feeds itself?"}
    asked = teacher(
        [GOOD, better],
        lambda prompt, n: marks(prompt, 5, reasoning=2 if n == 0 else 4),
        prefers=wins(str(better["question"])),
    )
    record = one(run(READING, asked))
    assert record.rounds == 2
    assert record.parts["question"] == better["question"]
    assert (record.scores["first_reasoning"], record.scores["final_reasoning"]) == (2.0, 4.0)
    assert record.scores["blind_win"] == 1.0
    second = [prompt for prompt in asked.asked if role_of(prompt) == "draft"][1]
    assert [message.role for message in second.messages][-2:] == ["assistant", "user"]
    assert "reasoning (2/5): on reasoning" in second.messages[-1].content
    orders = [p.messages[-1].content for p in asked.asked if role_of(p) == "compare"]
    assert len(orders) == 2
    assert orders[0] != orders[1]


def test_a_comparison_that_follows_the_order_is_a_tie_and_declines() -> None:
    better = {**GOOD, "question": "Which step closes the loop by which ice loss feeds itself?"}
    asked = teacher([GOOD, better], lambda prompt, n: marks(prompt, 2 + 3 * n))
    refusal = refused(run(READING, asked))
    assert refusal.reason is Reason.JUDGE
    assert "orders disagree" in refusal.detail


def test_a_final_draft_that_loses_to_the_first_is_declined() -> None:
    worse = {**GOOD, "question": "Which step closes the loop by which ice loss feeds itself?"}
    asked = teacher(
        [GOOD, worse],
        lambda prompt, n: marks(prompt, 2 + 3 * n),
        prefers=wins(str(GOOD["question"])),
    )
    assert "the first is preferred" in refused(run(READING, asked)).detail


def test_rounds_are_capped() -> None:
    asked = teacher([GOOD] * 3, lambda prompt, n: marks(prompt, 1 + n))
    assert refused(run(READING, asked)).reason is Reason.JUDGE
    assert roles(asked.asked) == ["draft", "critique"] * 3


def test_a_round_without_gain_ends_the_loop() -> None:
    asked = teacher([GOOD] * 3, lambda prompt, n: marks(prompt, 3))
    refusal = refused(run(READING, asked))
    assert "below 4 of 5" in refusal.detail
    assert roles(asked.asked) == ["draft", "critique"] * 2


def test_the_first_draft_that_reaches_the_target_is_never_lost_to_a_later_one() -> None:
    asked = teacher([GOOD, GOOD], lambda prompt, n: marks(prompt, 4, accuracy=3 + n))
    # The same exercise again, only marked higher: no gain that a blind judge could see.
    assert refused(run(READING, asked)).reason is Reason.JUDGE


def test_a_solver_who_misses_the_key_declines() -> None:
    wrong = next(letter for letter in "ABCD" if letter != key_of(GOOD))
    asked = teacher([GOOD], lambda prompt, n: marks(prompt, 5), solution=wrong)
    refusal = refused(run(READING, asked))
    assert refusal.reason is Reason.JUDGE
    assert "solver" in refusal.detail


def test_the_solver_never_sees_the_reasoning() -> None:
    asked = teacher([GOOD], lambda prompt, n: marks(prompt, 5))
    one(run(READING, asked))
    solving = [prompt for prompt in asked.asked if prompt.role == "solver"]
    with_passage, without = (prompt.messages[-1].content for prompt in solving)
    assert str(GOOD["reasoning"]) not in with_passage
    assert PASSAGE in with_passage
    assert PASSAGE not in without


@pytest.mark.parametrize(
    ("change", "evidence"),
    [
        ({"wrong": ["Same thing here", "Same thing  here.", "Another thing"]}, "two options"),
        ({"right": "Exposed water absorbs the sunlight that ice reflects and so warms up and on"
          " and on"}, "times as long"),
        ({"reasoning": "Option B is right, as open water absorbs the sunlight."}, "by letter"),
        ({"reasoning": "As an AI language model I think water absorbs sunlight."}, "AI"),
    ],
)  # fmt: skip
def test_a_flaw_that_stays_is_low_quality(change: dict[str, object], evidence: str) -> None:
    draft = {**GOOD, **change}
    asked = teacher([draft] * 3, lambda prompt, n: marks(prompt, 5))
    refusal = refused(run(READING, asked))
    assert refusal.reason is Reason.LOW_QUALITY
    assert evidence in refusal.detail
    again = [prompt for prompt in asked.asked if role_of(prompt) == "draft"][1]
    assert "must change:" in again.messages[-1].content


def test_talk_of_the_passage_is_a_flaw_only_where_the_reader_does_not_see_it() -> None:
    exercise = Exercise(
        question="According to the passage, why does the ocean warm?", reasoning="r", answer="a"
    )
    assert flaws(exercise, with_passage=True) == ()
    assert flaws(exercise, with_passage=False)


def test_an_exercise_that_drifts_from_the_seed_is_unfaithful_unless_accuracy_is_perfect() -> None:
    drift = {
        **GOOD,
        "reasoning": "Penguins inhabit southern continents because predators hunted northern kin.",
    }
    asked = teacher([drift] * 3, lambda prompt, n: marks(prompt, 4))
    assert refused(run(READING, asked)).reason is Reason.UNFAITHFUL
    trusted = teacher([drift], lambda prompt, n: marks(prompt, 5))
    assert one(run(READING, trusted)).scores["overlap"] < READING.grounding


def test_the_knowledge_flavour_leaves_the_passage_out() -> None:
    asked = teacher([GOOD], lambda prompt, n: marks(prompt, 5))
    record = one(run(KNOWLEDGE, asked))
    assert PASSAGE not in record.text
    assert record.text.startswith("Question: ")


def test_an_open_answer_is_matched_by_words_or_by_the_critic() -> None:
    def outcome(solution: str, same: str) -> tuple[Sequence[Record] | Rejection, list[str]]:
        asked = teacher(
            [OPEN_GOOD], lambda prompt, n: marks(prompt, 5), solution=solution, same=same
        )
        return run(OPEN, asked), roles(asked.asked)

    equal, asked = outcome("the ocean warms.", "no")
    assert one(equal).parts["answer"] == "The ocean warms"
    assert "same" not in asked
    judged, asked = outcome("It becomes warmer", "yes")
    assert "same" in asked
    one(judged)
    assert refused(outcome("It cools", "no")[0]).reason is Reason.JUDGE


def test_a_claim_is_asked_for_with_a_verdict_drawn_from_the_seed() -> None:
    draft: dict[str, object] = {
        "plan": "p",
        "question": "Less ice in summer makes an ocean take up more of the sunlight.",
        "reasoning": "Ice reflects sunlight and open water absorbs it; melts expose more water.",
        "verdict": "supported",
    }
    asked = teacher([draft], lambda prompt, n: marks(prompt, 5), solution="A")
    record = one(run(CLAIM, asked))
    assert json.loads(record.parts["options"])["A"] == "supported"
    assert record.text.rstrip().endswith("Answer: A. supported")
    wanted = set()
    for index in range(40):
        asked = teacher([draft], lambda prompt, n: marks(prompt, 5), solution="A")
        run(CLAIM, asked, replace(SEED, id=f"seed-{index}"))
        wanted.add(asked.asked[0].messages[-1].content.split("verdict is: ")[1].split(".")[0])
    assert wanted == {"supported", "contradicted", "not stated"}


def test_the_quick_flavour_takes_one_mark_and_no_solver() -> None:
    draft = {k: OPEN_GOOD[k] for k in ("question", "reasoning", "solution")}
    asked = teacher([draft], lambda prompt, n: marks(prompt, 2))
    assert one(run(QUICK, asked)).rounds == 1
    assert roles(asked.asked) == ["draft", "critique"]


def test_the_key_is_spread_over_all_letters() -> None:
    keys = [key_of({**GOOD, "question": f"Question number {n}?"}) for n in range(400)]
    assert all(60 < keys.count(letter) < 140 for letter in "ABCD")


def test_the_length_of_the_right_option_is_measured() -> None:
    exercise = Exercise(
        question="q",
        reasoning="r",
        answer="a" * 30,
        options=("a" * 30, "b" * 10, "c" * 10, "d" * 10),
    )
    assert longest_ratio(exercise) == pytest.approx(3.0)


def test_overlap_counts_inflected_words_and_numbers() -> None:
    exercise = exercise_of(
        Open(plan="p", question="q", reasoning="The oceans warmed in 2012.", solution="Bananas")
    )
    assert overlap(exercise, PASSAGE) == pytest.approx(3 / 4)


def test_code_seeds_are_unsuited() -> None:
    asked = teacher([GOOD], lambda prompt, n: marks(prompt, 5))
    assert refused(run(READING, asked, replace(SEED, kind=Kind.CODE))).reason is Reason.UNSUITED
    assert asked.asked == []


def test_texts_are_bounded_in_the_schema_only_for_the_smallest_teacher() -> None:
    def bounds(method: SelfRevision, draft: dict[str, object]) -> bool:
        asked = teacher([draft], lambda prompt, n: marks(prompt, 5))
        run(method, asked)
        return any("Length" in (prompt.schema or "") for prompt in asked.asked)

    assert not bounds(READING, GOOD)
    assert bounds(QUICK, {k: OPEN_GOOD[k] for k in ("question", "reasoning", "solution")})


def test_an_empty_text_breaks_the_contract() -> None:
    asked = teacher([{**GOOD, "reasoning": "  "}], lambda prompt, n: marks(prompt, 5))
    assert refused(run(READING, asked)).reason is Reason.SCHEMA


@pytest.mark.parametrize("method", REVISIONS, ids=lambda method: method.name)
def test_every_flavour_survives_a_pickle_with_its_identity(method: SelfRevision) -> None:
    copy = pickle.loads(pickle.dumps(method))  # noqa: S301
    assert copy == method
    assert fingerprint(copy) == fingerprint(method)
    assert any(item == "accuracy" for item, _ in method.rubric)


def test_names_are_unique() -> None:
    assert len({method.name for method in REVISIONS}) == len(REVISIONS)


@pytest.mark.parametrize("method", REVISIONS, ids=lambda method: method.name)
def test_braces_in_a_passage_reach_the_teacher_as_they_are(method: SelfRevision) -> None:
    passage = PASSAGE + " {x} {{y}} {0}"
    asked = teacher([GOOD], lambda prompt, n: marks(prompt, 5))
    run(method, asked, replace(SEED, text=passage))
    assert passage in asked.asked[0].messages[-1].content


@pytest.mark.parametrize("method", REVISIONS, ids=lambda method: method.name)
def test_schemas_ask_for_the_thought_before_the_verdict(method: SelfRevision) -> None:
    drafts = {"choice": GOOD, "open": OPEN_GOOD, "short": OPEN_GOOD}
    draft = drafts.get(method.form.value, {**OPEN_GOOD, "verdict": "supported"})
    asked = teacher([draft], lambda prompt, n: marks(prompt, 5), solution="A")
    run(method, asked)
    for prompt in asked.asked:
        schema = json.loads(prompt.schema or "")
        names = list(schema["properties"])
        for thought, verdict in (("reasoning", "solution"), ("reasoning", "right"),
                                 ("reasoning", "verdict"), ("comparison", "winner")):  # fmt: skip
            if thought in names and verdict in names:
                assert names.index(thought) < names.index(verdict)
        for definition in schema.get("$defs", {}).values():
            assert list(definition["properties"]) == ["advice", "score"]
