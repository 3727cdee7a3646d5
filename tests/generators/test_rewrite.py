import asyncio
import pickle
import re
from dataclasses import replace
from importlib import resources

import pytest

from generators.contract import attempt
from generators.echoes import copied_share, repeated_lines, repeated_share
from generators.rewrite import (
    CODE_EXPLAINED,
    DENSE,
    EASY,
    ENCYCLOPEDIC,
    FAQ,
    QUICK,
    REWRITES,
    TABLE,
    TEXTBOOK,
    Rewrite,
)
from generators.scripted import Answer, ScriptedTeacher, in_order, tools
from manifests.completions import Completion, FinishReason, Usage
from manifests.fingerprint import fingerprint
from manifests.records import Bucket, Grade, Kind, Reason, Record, Rejection, Seed, SeedTags

SOURCE = (
    "In 1851 the French physicist Leon Foucault hung a pendulum of 28 kg on a wire 67 m long "
    "from the dome of the Pantheon in Paris. Its plane of swing turned by about 11 degrees an "
    "hour, which showed the crowd that the Earth turns below it. The {same} pendulum would "
    "turn faster nearer to the poles and not at all at the equator, because only the part of "
    "the rotation about the vertical counts."
)
REWRITTEN = (
    "Foucault's pendulum is a demonstration of the rotation of the Earth. Leon Foucault, a "
    "French scientist, set it up at the Pantheon of Paris in 1851: a weight of 28 kilograms "
    "on a line of 67 metres. Every hour the direction of its swing moved by some 11 degrees, "
    "since the ground beneath it was turning. At the poles such a device turns fastest; at "
    "the equator it keeps its direction, as nothing of the rotation is vertical there."
)


def seed(text: str = SOURCE, kind: Kind = Kind.PROSE, lang: str = "en") -> Seed:
    return Seed(
        id="s1",
        document_id="d1",
        source="test",
        url="file:1",
        licence="CC0-1.0",
        lang=lang,
        kind=kind,
        domain="physical sciences",
        topic="a {pendulum}",
        text=text,
        start_line=1,
        end_line=1,
        page_edu=4,
        passage_factual=4,
        passage_reasoning=4,
        tags=SeedTags(
            info_type="explanation",
            brief="A pendulum.",
            complexity=Grade.B,
            obscurity=Grade.B,
            has_chain=False,
        ),
    )


def outcome(style: Rewrite, answer: Answer, row: Seed | None = None) -> list[Record] | Rejection:
    got = asyncio.run(attempt(style, row or seed(), tools(in_order(answer))))
    return got if isinstance(got, Rejection) else list(got)


def accepted(style: Rewrite, answer: Answer, row: Seed | None = None) -> Record:
    got = outcome(style, answer, row)
    assert isinstance(got, list), got
    (record,) = got
    return record


def declined(style: Rewrite, answer: Answer, row: Seed | None = None) -> Rejection:
    got = outcome(style, answer, row)
    assert isinstance(got, Rejection), got
    return got


def test_a_faithful_rewrite_becomes_a_web_rewrite_with_its_measures() -> None:
    record = accepted(ENCYCLOPEDIC, f"Here is the rewritten text:\n\n{REWRITTEN}")
    assert record.text == REWRITTEN
    assert record.bucket is Bucket.WEB_REWRITE
    assert (record.generator, record.seed_ids) == ("rewrite_encyclopedic@1", ("s1",))
    assert (record.source, record.licence, record.lang) == ("test", "CC0-1.0", "en")
    assert record.scores["number_recall"] == record.scores["entity_recall"] == 1.0
    assert record.scores["compression"] == pytest.approx(1.0, abs=0.2)
    assert record.scores["copied"] < 0.1


def test_what_was_lost_is_named() -> None:
    no_year = declined(ENCYCLOPEDIC, REWRITTEN.replace("in 1851", "long ago"))
    assert no_year.reason is Reason.UNFAITHFUL
    assert no_year.detail == "numbers 0.75, names 1.00; lost: 1851"
    no_place = declined(ENCYCLOPEDIC, REWRITTEN.replace("Pantheon of Paris", "dome of a town"))
    assert no_place.reason is Reason.UNFAITHFUL
    assert "Paris" in no_place.detail


def test_a_number_of_its_own_is_unfaithful_but_a_creative_style_may_have_it() -> None:
    text = f"{REWRITTEN} It was seen by 2,000 people."
    rejection = declined(ENCYCLOPEDIC, text)
    assert rejection.reason is Reason.UNFAITHFUL
    assert rejection.detail == "numbers not in the source: 2000"
    record = accepted(
        TEXTBOOK, f"## The pendulum\n\n{text}\n\n### Exercises\n\n1. Why does it turn?"
    )
    assert record.bucket is Bucket.SYNTHETIC
    assert record.scores["number_recall"] == 1.0


def test_a_copy_of_the_source_is_declined() -> None:
    rejection = declined(ENCYCLOPEDIC, SOURCE)
    assert rejection.reason is Reason.LOW_QUALITY
    assert rejection.detail.startswith("copies the source: 100%")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, but I cannot rewrite this.", Reason.REFUSAL),
        (f"The passage describes a pendulum. {REWRITTEN}", Reason.META_TALK),
        ("Here is the rewritten text:", Reason.EMPTY),
        ("", Reason.EMPTY),
        (f"{REWRITTEN}\n{REWRITTEN}\n{REWRITTEN}", Reason.REPETITIVE),
        ("It turns and turns and turns and turns and turns. " * 20, Reason.REPETITIVE),
        ("A pendulum shows that the Earth turns.", Reason.TOO_SHORT),
        (" ".join(f"word{n}" for n in range(200)), Reason.TOO_LONG),
    ],
)
def test_a_bad_answer_is_declined_with_its_reason(answer: str, reason: Reason) -> None:
    assert declined(ENCYCLOPEDIC, answer).reason is reason


def test_an_answer_below_the_band_of_its_style_is_too_short() -> None:
    long = seed(" ".join(f"word{n}" for n in range(300)))
    rejection = declined(ENCYCLOPEDIC, " ".join(f"term{n}" for n in range(60)), long)
    assert rejection == Rejection(
        reason=Reason.TOO_SHORT, detail="0.20 of the source's words < 0.6"
    )


def test_an_answer_that_hit_its_limit_is_truncated() -> None:
    cut = Completion(
        text=REWRITTEN, finish_reason=FinishReason.LENGTH, teacher="t@1", usage=Usage()
    )
    assert declined(ENCYCLOPEDIC, cut).reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("style", "row", "reason"),
    [
        (ENCYCLOPEDIC, seed(kind=Kind.CODE), Reason.UNSUITED),
        (CODE_EXPLAINED, seed(), Reason.UNSUITED),
        (EASY, seed("word " * 401), Reason.TOO_LONG),
        (EASY, seed(" \n"), Reason.EMPTY),
    ],
)
def test_an_unsuited_seed_costs_no_call(style: Rewrite, row: Seed, reason: Reason) -> None:
    teacher = in_order()
    rejection = asyncio.run(attempt(style, row, tools(teacher)))
    assert isinstance(rejection, Rejection)
    assert rejection.reason is reason
    assert not teacher.asked


def test_a_style_with_a_form_declines_a_text_without_it() -> None:
    assert declined(FAQ, REWRITTEN).reason is Reason.SCHEMA
    assert declined(TABLE, REWRITTEN).reason is Reason.SCHEMA
    lead, rest = REWRITTEN.split(": ")
    table = f"{lead}.\n\n| weight (kg) | line (m) |\n|---|---|\n| 28 | 67 |\n\n{rest}"
    assert accepted(TABLE, table).bucket is Bucket.WEB_REWRITE
    first, second = REWRITTEN.split(" Every hour", 1)
    faq = f"### What is a pendulum?\n\n{first}\n\n### How fast does it turn?\n\nEvery hour{second}"
    assert accepted(FAQ, faq).text == faq


def test_code_is_explained_by_the_one_style_that_takes_it() -> None:
    code = "def double(x):\n    return 2 * x"
    answer = (
        f"## Doubling a number\n\nA value is often needed twice.\n\n```python\n{code}\n```\n\n"
        "The function takes one value and gives its double. For an input of three it multiplies "
        "three by two and so gives six. It takes constant time and memory. Text and lists are "
        "repeated rather than doubled, because that is what their multiplication means in Python."
    )
    record = accepted(CODE_EXPLAINED, answer, seed(code, Kind.CODE))
    assert record.bucket is Bucket.SYNTHETIC


def test_meta_words_of_the_source_itself_are_allowed() -> None:
    row = seed(f"{SOURCE} The passage is from a letter.")
    assert (
        "The passage" in accepted(ENCYCLOPEDIC, f"{REWRITTEN} The passage is a letter's.", row).text
    )


def test_the_prompt_names_language_and_length() -> None:
    teacher = in_order(REWRITTEN)
    asyncio.run(attempt(DENSE, seed(lang="de"), tools(teacher)))
    asked = teacher.asked[0].messages[-1].content
    assert "Write in German, 50 to 100 words." in asked
    assert "The {same} pendulum" in asked
    assert 'topic="a {pendulum}"' in asked


@pytest.mark.parametrize("style", REWRITES, ids=lambda s: s.name)
def test_every_style_renders_survives_a_worker_and_has_an_identity(style: Rewrite) -> None:
    row = seed("{text} {0} {{low}} }{ word", style.kinds[0])
    teacher = ScriptedTeacher(lambda prompt: REWRITTEN)
    asyncio.run(attempt(style, row, tools(teacher)))
    asked = teacher.asked[0].messages[-1].content
    assert row.text in asked
    assert not re.search(r"\{(?:language|topic|high)\}", asked)
    copy = pickle.loads(pickle.dumps(style))  # noqa: S301
    assert copy == style
    assert fingerprint(copy) == fingerprint(style)
    reworded = replace(style, text=replace(style.text, user=style.text.user + "!"))
    assert fingerprint(reworded) != fingerprint(style)


def test_names_are_unique_and_every_prompt_file_is_used() -> None:
    assert len({style.name for style in REWRITES}) == len(REWRITES)
    files = {
        entry.name.removesuffix(".md")
        for entry in resources.files("generators").joinpath("prompts").iterdir()
        if entry.name.startswith("rewrite_")
    }
    assert files == {style.name.partition("@")[0] for style in REWRITES}


def test_the_quick_style_takes_a_short_loose_answer() -> None:
    answer = (
        "A man once hung a heavy weight from a high dome in Paris, and so all the people there "
        "saw that the whole Earth turns."
    )
    record = accepted(QUICK, answer, seed(" ".join(SOURCE.split()[:40])))
    assert record.bucket is Bucket.SYNTHETIC
    assert record.scores["number_recall"] < 1.0


def test_echoes_are_shares() -> None:
    assert copied_share("a b c d e f g h", "x a b c d e f g h y") == 1.0
    assert copied_share("a b c", "a b c") == 0.0
    assert repeated_share("a b c d a b c d") == pytest.approx(0.2)
    assert repeated_lines("a\n\nb\n---\na") == pytest.approx(1 / 3)
    assert repeated_lines("") == repeated_share("") == 0.0
