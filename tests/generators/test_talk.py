import pytest

from generators.contract import Declined
from generators.talk import check_clean, meta_talk_in, refusal_in, strip_farewell, strip_preamble
from manifests.records import Reason

BODY = "The sea is salt.\n\nRivers carry the salt down to it."


@pytest.mark.parametrize(
    "lead_in",
    [
        "Here is a paraphrase of the passage:\n\n",
        "Here's the rewritten text in an encyclopedic style:\n",
        "Sure! Here is your FAQ:\n\n",
        "Certainly!\n\nHere are the questions and answers:\n\n",
        "Below is a condensed version of the article:\n",
        "I've rewritten the text as a tutorial:\n\n",
        "**Rewritten text:**\n\n",
        "Rewritten passage: ",
        "Paraphrase: ",
        "---\n",
    ],
)
def test_a_lead_in_is_cut_off(lead_in: str) -> None:
    assert strip_preamble(lead_in + BODY) == BODY


@pytest.mark.parametrize(
    "text",
    [
        "Here is how salt gets into the sea:\n\nRivers carry it.",
        "Here is where the river ends. The sea begins.",
        "Certainly, the sea is older than the land.",
        "New York is a city.",
        "This is the end: nothing follows.",
        "## Salt\n\nThe sea is salt.",
        "Sure-footed goats live here.",
    ],
)
def test_a_text_that_only_begins_like_a_lead_in_is_left_alone(text: str) -> None:
    assert strip_preamble(text) == text


def test_a_fence_around_the_whole_is_taken_off_but_code_inside_keeps_its_own() -> None:
    assert strip_preamble(f"```markdown\n{BODY}\n```") == BODY
    two = "```\na\n```\n\ntext\n\n```\nb\n```"
    assert strip_preamble(two) == two
    code = "```python\nprint(1)\n```"
    assert strip_preamble(code) == code


def test_a_farewell_is_cut_off_only_at_the_end() -> None:
    assert strip_farewell(BODY + "\n\nLet me know if you want changes!") == BODY
    inside = "Let me know if the tide turns, she said.\n\nIt turned."
    assert strip_farewell(inside) == inside


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I'm ready to assist you with your text. Please go ahead.",
        "I am sorry, I cannot assist with this request.",
        "I\N{RIGHT SINGLE QUOTATION MARK}m sorry, but I can\N{RIGHT SINGLE QUOTATION MARK}t do it.",
        "Sorry, I can't do that.",
        "I cannot provide a rewrite of this.",
        "Unfortunately, I am unable to generate this text.",
        "I apologize, but I am not able to continue.",
        "As an AI, I have no opinion.",
        "Water boils. As an AI language model, I have never seen it.",
        "Please provide the text you want me to rewrite.",
    ],
)
def test_a_refusal_is_found(text: str) -> None:
    assert refusal_in(text)
    with pytest.raises(Declined) as declined:
        check_clean(text)
    assert declined.value.rejection.reason is Reason.REFUSAL


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        '"I\'m sorry," she said, "I am late."',
        "He told them: I cannot help you.",
        "A language model assigns probabilities to texts.",
        "I cannot swim, so I stayed on the shore.",
    ],
)
def test_an_honest_text_is_no_refusal(text: str) -> None:
    assert refusal_in(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "The passage explains why the sea is salt.",
        "As this excerpt shows, rivers carry salt.",
        "According to the text, rivers carry salt.",
        "The text states that rivers carry salt.",
        "Rivers carry salt, as mentioned in the article.",
        "The provided text is about the sea.",
        "This rewritten version is simpler.",
    ],
)
def test_talk_of_a_source_that_the_reader_cannot_see_is_found(text: str) -> None:
    assert meta_talk_in(text)
    with pytest.raises(Declined) as declined:
        check_clean(text)
    assert declined.value.rejection.reason is Reason.META_TALK
    assert check_clean(text, allow_meta=True) == text


@pytest.mark.parametrize(
    "text",
    [
        "The passage of time wears down the cliff.",
        "Ships use the passage between the islands.",
        "The passage through the strait takes a day.",
        "The text of the law is short.",
        "Open the document and choose Print.",
    ],
)
def test_an_honest_use_of_the_same_words_is_no_meta_talk(text: str) -> None:
    assert meta_talk_in(text) is None


def test_a_lead_in_with_nothing_behind_it_is_empty() -> None:
    with pytest.raises(Declined) as declined:
        check_clean("Here is the rewritten passage:")
    assert declined.value.rejection.reason is Reason.EMPTY


def test_a_clean_text_comes_back_as_it_is() -> None:
    assert check_clean(f"  {BODY}\n") == BODY
