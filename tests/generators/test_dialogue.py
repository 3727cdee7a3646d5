import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from generators.contract import attempt
from generators.dialogue import DIALOGUES, Dialogue
from generators.dialogue_casts import PERSONAS
from generators.dialogue_turns import cut_praise
from generators.scripted import Answer, ScriptedTeacher, tools
from manifests.completions import Prompt
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
TUTOR, INTERVIEW, DEBATE, PERSONA, QUICK = DIALOGUES

LINES = (
    "Sea ice reflects most sunlight and open water absorbs it, so when ice melts the ocean warms "
    "and more ice melts. Does that never come to an end?",
    "It has an end once no summer ice is left to lose. Until then each exposed stretch of ocean "
    "takes up sunlight that ice would have thrown back.",
    "Then a cloudy summer should slow it, since less sunlight reaches the water at all. Or do "
    "clouds only move the warming somewhere else?",
    "Clouds reflect sunlight above the ocean much as ice does at its surface. They slow the loop "
    "by day, yet at night they hold warmth in.",
    "Suppose a layer of white foam were spread over open water. It should stand in for the ice "
    "that melted, unless waves break it up.",
    "Foam would reflect sunlight while it lasts, so the ocean below stays cooler. What decides is "
    "how long it covers the water, not how bright it is.",
    "In which month does a lost square kilometre of ice matter most for the ocean around it?",
    "In early summer, when the sun stands high and the water has the whole season to absorb what "
    "the ice no longer reflects.",
)
GOOD: dict[str, object] = {"grounded": 5, "new": 4, "next_move": "Raise a doubt.", "nuance": 3}
SOUND: dict[str, object] = {
    "analysis": "Sound.",
    "consistent": 5,
    "grounded": 4,
    "stands_alone": 4,
}


def step_of(prompt: Prompt) -> str:
    """What is asked for: a turn, its evaluation, or the final check."""
    asked = set(json.loads(prompt.schema)["properties"]) if prompt.schema else set()
    if "consistent" in asked:
        return "check"
    return "evaluate" if "nuance" in asked else "turn"


def said(text: str, move: str = "facts") -> dict[str, object]:
    return {"move": move, "text": text}


def spoken(prompt: Prompt, line: Answer) -> Answer:
    """The line as this prompt asks for it: as JSON, or in plain text."""
    return str(line["text"]) if prompt.schema is None and isinstance(line, dict) else line


def teacher(
    lines: Callable[[int], Answer] = lambda n: said(LINES[n]),
    evaluate: Callable[[int], Answer] = lambda n: GOOD,
    check: Answer = SOUND,
) -> ScriptedTeacher:
    """Turns written and turns evaluated are each counted from 0, failed ones too."""
    counts = {"turn": -1, "evaluate": -1, "check": -1}

    def script(prompt: Prompt) -> Answer:
        step = step_of(prompt)
        counts[step] += 1
        match step:
            case "turn":
                return spoken(prompt, lines(counts[step]))
            case "evaluate":
                return evaluate(counts[step])
            case _:
                return check

    return ScriptedTeacher(script)


def instead(at: int, *tries: Answer) -> Callable[[int], Answer]:
    """The usual lines, but for the turn `at`: these in its place, then the usual again."""

    def lines(n: int) -> Answer:
        if at <= n < at + len(tries):
            return tries[n - at]
        return said(LINES[n if n < at else n - len(tries)])

    return lines


def run(
    method: Dialogue, asked: ScriptedTeacher, seed: Seed = SEED
) -> Sequence[Record] | Rejection:
    return asyncio.run(attempt(method, seed, tools(asked)))


def one(outcome: Sequence[Record] | Rejection) -> Record:
    assert not isinstance(outcome, Rejection), outcome
    (record,) = outcome
    return record


def refused(outcome: Sequence[Record] | Rejection) -> Rejection:
    assert isinstance(outcome, Rejection)
    return outcome


def test_a_dialogue_alternates_and_is_rendered_with_names() -> None:
    record = one(run(TUTOR, teacher()))
    assert [turn.role for turn in record.turns] == ["user", "assistant"] * 3
    assert [turn.content for turn in record.turns] == list(LINES[:6])
    blocks = record.text.split("\n\n")
    assert [block.split(": ")[0] for block in blocks] == ["Student", "Tutor"] * 3
    assert blocks[1] == f"Tutor: {LINES[1]}"
    assert record.rounds == 6
    assert record.bucket is Bucket.SYNTHETIC
    assert record.parts["profile"].startswith("Student: ")


def test_scores_gather_what_was_judged_and_counted() -> None:
    asked = teacher(
        lines=lambda n: said(LINES[n], "scenario" if n == 4 else "facts"),
        evaluate=lambda n: {**GOOD, "new": 3 if n == 2 else 5},
    )
    scores = one(run(TUTOR, asked)).scores
    assert scores["grounded_mean"] == scores["grounded_min"] == 5.0
    assert scores["new_mean"] == pytest.approx(28 / 6)
    assert scores["new_min"] == 3.0
    assert scores["scenarios"] == 1.0
    assert scores["check_consistent"] == 5.0
    assert scores["retries"] == scores["praise"] == scores["new_numbers"] == 0.0


def test_all_prompts_but_the_check_grow_from_one_prefix() -> None:
    asked = teacher()
    one(run(TUTOR, asked))
    *dialogue, check = asked.asked
    assert [step_of(prompt) for prompt in dialogue] == ["turn", "evaluate"] * 6
    for before, after in zip(dialogue[::2], dialogue[2::2], strict=False):
        assert after.messages[: len(before.messages)] == before.messages
    for turn, evaluation in zip(dialogue[::2], dialogue[1::2], strict=True):
        assert evaluation.messages[: len(turn.messages)] == turn.messages
    assert PASSAGE in dialogue[0].messages[1].content
    assert {prompt.role for prompt in dialogue} == {"writer"}
    assert check.role == "critic"


def test_an_evaluation_steers_the_next_turn_and_leaves_the_history() -> None:
    asked = teacher(evaluate=lambda n: {**GOOD, "next_move": f"Go to place {n}."})
    one(run(TUTOR, asked))
    turns = [prompt for prompt in asked.asked if step_of(prompt) == "turn"]
    for n, prompt in enumerate(turns[1:]):
        assert f"Go to place {n}." in prompt.messages[-1].content
        assert not any("Judge the turn" in message.content for message in prompt.messages)
    assert "last turn" in turns[-1].messages[-1].content
    assert not any("last turn" in prompt.messages[-1].content for prompt in turns[:-1])


def test_roles_alternate_in_what_is_sent() -> None:
    asked = teacher(lines=instead(2, said("Short.")))
    one(run(TUTOR, asked))
    for prompt in asked.asked:
        roles = [message.role for message in prompt.messages if message.role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_a_turn_below_a_floor_is_written_once_more_and_its_failure_is_forgotten() -> None:
    asked = teacher(
        lines=instead(3, said("Ice is cold and water is wet and that is all there is to say now.")),
        evaluate=lambda n: {**GOOD, "new": 1 if n == 3 else 4},
    )
    record = one(run(TUTOR, asked))
    assert [turn.content for turn in record.turns] == list(LINES[:6])
    assert record.scores["retries"] == 1.0
    assert record.scores["new_min"] == 4.0
    again = [p for p in asked.asked if "cannot stand" in p.messages[-1].content]
    assert len(again) == 1
    assert "new 1 < 3" in again[0].messages[-1].content
    last_turn = [p for p in asked.asked if step_of(p) == "turn"][-1]
    assert not any("wet" in message.content for message in last_turn.messages)


@pytest.mark.parametrize("mark", ["grounded", "new", "nuance"])
def test_a_turn_below_a_floor_twice_ends_the_dialogue(mark: str) -> None:
    asked = teacher(
        lines=instead(1, said(LINES[6]), said(LINES[7])),
        evaluate=lambda n: GOOD if n == 0 else {**GOOD, mark: 1},
    )
    outcome = refused(run(TUTOR, asked))
    assert outcome.reason is Reason.JUDGE
    assert outcome.detail.startswith(f"turn 2, twice: {mark} 1 <")
    assert sum(step_of(prompt) == "turn" for prompt in asked.asked) == 3


PADDED = "The ocean takes up heat in summer and gives some of it back in autumn, " * 20
SPOILT: dict[str, tuple[Reason, str]] = {
    "repeats an earlier turn": (Reason.REPETITIVE, LINES[0]),
    "repeats itself": (Reason.REPETITIVE, "Open water absorbs sunlight and warms. " * 4),
    "is too short": (Reason.TOO_SHORT, "Yes, it does."),
    "is nothing but praise": (Reason.TOO_SHORT, "Great question! You're absolutely right."),
    "swells": (
        Reason.TOO_LONG,
        " ".join(f"Reason {n} has a part of its own in how the water warms." for n in range(12)),
    ),
    "is beyond the cap": (Reason.TOO_LONG, PADDED),
    "speaks of the passage": (
        Reason.META_TALK,
        "The passage says that open water absorbs what ice reflects, and so the ocean warms.",
    ),
    "refuses": (Reason.REFUSAL, "I'm sorry, but I cannot help with questions about the ocean."),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_turn_is_refused_when_twice_it(fault: str) -> None:
    why, text = SPOILT[fault]
    outcome = refused(run(TUTOR, teacher(lines=instead(2, said(text), said(text)))))
    assert outcome.reason is why
    assert outcome.detail.startswith("turn 3, twice: ")
    record = one(run(TUTOR, teacher(lines=instead(2, said(text)))))
    assert record.scores["retries"] == 1.0


def test_a_tiny_teacher_may_speak_of_the_text() -> None:
    text = SPOILT["speaks of the passage"][1]
    record = one(run(QUICK, teacher(lines=lambda n: said(text if n == 1 else LINES[n]))))
    assert record.turns[1].content == text


def test_a_first_turn_without_the_core_information_is_refused() -> None:
    vague = said("There is something about the weather that I have long wanted to ask you about.")
    outcome = refused(run(TUTOR, teacher(lines=instead(0, vague, vague))))
    assert outcome.reason is Reason.UNFAITHFUL
    assert "core information" in outcome.detail


def test_a_turn_off_the_subject_is_refused_unless_it_is_called_fully_grounded() -> None:
    astray = said("My cousin bakes bread on Sundays, and nobody else gets up before noon at home.")
    again = said("Bakeries start early because dough needs hours, and customers want rolls by six.")
    off = teacher(
        lines=instead(2, astray, again), evaluate=lambda n: {**GOOD, "grounded": 4 if n else 5}
    )
    assert refused(run(TUTOR, off)).reason is Reason.UNFAITHFUL
    one(run(TUTOR, teacher(lines=lambda n: astray if n == 2 else said(LINES[n]))))


@pytest.mark.parametrize("mark", ["consistent", "grounded", "stands_alone"])
def test_the_critic_has_the_last_word(mark: str) -> None:
    found = {**SOUND, mark: 2, "analysis": "Turn 4 takes back turn 2."}
    outcome = refused(run(TUTOR, teacher(check=found)))
    assert outcome.reason is Reason.JUDGE
    assert outcome.detail.startswith(f"{mark} 2 <")
    assert "takes back" in outcome.detail


def test_praise_is_cut_off_and_counted() -> None:
    asked = teacher(
        lines=lambda n: said(("Great question! You're right, " if n == 1 else "") + LINES[n])
    )
    record = one(run(TUTOR, asked))
    assert record.turns[1].content == LINES[1]
    assert record.scores["praise"] == 2.0
    later = [p for p in asked.asked if step_of(p) == "turn"][-1]
    assert not any("Great question" in message.content for message in later.messages)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("That's a really good point about ice. Water warms.", "Water warms."),
        ("Thank you for raising that! Water warms.", "Water warms."),
        ("That's a great question, and water warms.", "And water warms."),
        ("What an insightful observation! Water warms.", "Water warms."),
        ("I completely agree, water warms.", "Water warms."),
        ("Absolutely! Exactly. Water warms.", "Water warms."),
        ("You\N{RIGHT SINGLE QUOTATION MARK}re absolutely right: water warms.", "Water warms."),
        ("Certainly the ice melts first.", "Certainly the ice melts first."),
        ("Exactly two litres were lost.", "Exactly two litres were lost."),
        ("Good point estimates are rare.", "Good point estimates are rare."),
        ("It is a good idea to measure.", "It is a good idea to measure."),
        ("That is an important point to settle first.",) * 2,
    ],
)
def test_only_openers_without_substance_are_praise(text: str, rest: str) -> None:
    assert cut_praise(text)[0] == rest


def test_a_speaker_says_only_its_own_words() -> None:
    both = f"**Tutor:** {LINES[1]}\n\nStudent: And then? I should like to know more about this."
    record = one(run(TUTOR, teacher(lines=lambda n: said(both if n == 1 else LINES[n]))))
    assert record.turns[1].content == LINES[1]


def test_numbers_that_nobody_mentioned_are_counted_outside_supposed_cases() -> None:
    def lines(n: int) -> Answer:
        extra = {3: " It takes 17 days.", 5: " In 2012 it took 17 days."}.get(n, "")
        return said(LINES[n] + extra, "facts")

    assert one(run(TUTOR, teacher(lines=lines))).scores["new_numbers"] == 1.0
    supposed = teacher(lines=lambda n: said(LINES[n] + " Say 17 days." * (n == 3), "scenario"))
    assert one(run(TUTOR, supposed)).scores["new_numbers"] == 0.0


def test_a_persona_follows_from_the_seed_and_all_of_them_come_up() -> None:
    names = set()
    for n in range(80):
        seed = replace(SEED, id=f"seed-{n}")
        record = one(run(PERSONA, teacher(), seed))
        assert record.text == one(run(PERSONA, teacher(), seed)).text
        names.add(record.text.partition(":")[0])
    assert names == {cast.first.name for cast in PERSONAS}


def test_code_and_long_sources_are_not_talked_about() -> None:
    asked = teacher()
    assert refused(run(TUTOR, asked, replace(SEED, kind=Kind.CODE))).reason is Reason.UNSUITED
    assert refused(run(QUICK, asked, replace(SEED, text="w " * 201))).reason is Reason.TOO_LONG
    assert not asked.asked


@pytest.mark.parametrize("turns", [2, 5])
def test_a_dialogue_has_at_least_four_turns_and_ends_with_an_answer(turns: int) -> None:
    with pytest.raises(ValueError, match="even and at least 4"):
        replace(TUTOR, turns=turns)


def test_a_tiny_teacher_gets_through_with_poor_marks_and_bounded_strings() -> None:
    poor = {"grounded": 1, "new": 1, "next_move": "go on", "nuance": 1}
    found = {"analysis": "", "consistent": 1, "grounded": 1, "stands_alone": 1}
    asked = teacher(evaluate=lambda n: poor, check=found)
    record = one(run(QUICK, asked))
    assert len(record.turns) == 4
    assert record.scores["grounded_mean"] == record.scores["check_consistent"] == 1.0
    assert len(asked.asked) == 9
    assert "scenarios" not in record.scores
    for prompt in asked.asked:
        if prompt.schema is None:
            assert prompt.decoding.stop
            continue
        for value in json.loads(prompt.schema)["properties"].values():
            assert value["type"] == "integer" or value["maxLength"] <= 80


def test_a_turn_that_fills_its_limit_ends_with_its_last_whole_sentence() -> None:
    cut = (LINES[1] + " And besides that the ocean and " * 90)[:2000]
    record = one(run(TUTOR, teacher(lines=lambda n: said(cut if n == 1 else LINES[n]))))
    assert record.turns[1].content == LINES[1]


@pytest.mark.parametrize("method", DIALOGUES, ids=lambda method: method.name)
def test_every_flavour_renders_a_seed_with_braces_and_makes_a_record(method: Dialogue) -> None:
    asked = teacher()
    record = one(run(method, asked, replace(SEED, topic="{0} {topic}")))
    assert len(record.turns) == method.turns
    for prompt in asked.asked:
        assert any("{ice, water}" in message.content for message in prompt.messages)
