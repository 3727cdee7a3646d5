import pyarrow as pa
import pytest

from filters.refusal import RefusalOpening, SelfTalk

DECLINED = [
    "I'm sorry, but I can't help with that request.",
    "I am ready to assist you with your text.",
    "I\u2019m sorry, but I can\u2019t assist with that.",
    "Sorry, but I cannot provide the text.",
    "Unfortunately, I am unable to answer this question.",
    "I apologize, but I am not able to write that.",
    "As an AI language model, I do not have opinions.",
    "  **Sure! Here is the rewritten passage:**",
    "Certainly! Here's a story about a fox.",
    "I'd be happy to help.",
]
HONEST = [
    "I cannot say when he left, but the door was open.",
    "Sorry seems to be the hardest word.",
    "As an airline pilot, she flew at night.",
    "The refusal read: I'm sorry, but I can't say.",
    "Of course, the theorem holds for all n.",
    "She was certainly right. Here is where it ended.",
    "",
]


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.string())})


@pytest.mark.parametrize("text", DECLINED)
def test_a_refusal_or_courtesy_at_the_start_is_flagged(text: str) -> None:
    assert RefusalOpening()(batch([text])).to_pylist() == [1.0]


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_is_not_flagged(text: str) -> None:
    assert RefusalOpening()(batch([text])).to_pylist() == [0.0]
    assert SelfTalk()(batch([text])).to_pylist() == [0.0]


def test_self_talk_is_counted_by_line_wherever_it_stands() -> None:
    text = "It is blue.\n\nAs a language model, I am an AI assistant.\nMy training data ends.\nOh."
    assert SelfTalk()(batch([text])).to_pylist() == [3 / 4]
