from dataclasses import fields, replace
from typing import Any

import pytest

from manifests.completions import Decoding, Message, Prompt

ASKED = Prompt(
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="é?")),
    decoding=Decoding(temperature=0.7, top_p=0.9, max_tokens=16, stop=("END",)),
    schema='{"type":"object"}',
)
OTHER: dict[str, Any] = {
    "content": "Be long.",
    "decoding": Decoding(temperature=0.7, max_tokens=16),
    "max_tokens": 17,
    "messages": ASKED.messages[:1],
    "role": "critic",
    "sample": 1,
    "schema": None,
    "stop": ("END", "STOP"),
    "temperature": 0.7000000000000001,
    "top_p": 1.0,
}


def variants() -> list[Prompt]:
    """The prompt with each field of its messages, its decoding and itself changed."""
    first, rest = ASKED.messages[0], ASKED.messages[1:]
    return [
        *(
            replace(ASKED, messages=(replace(first, **{f.name: OTHER[f.name]}), *rest))
            for f in fields(Message)
        ),
        *(
            replace(ASKED, decoding=replace(ASKED.decoding, **{f.name: OTHER[f.name]}))
            for f in fields(Decoding)
        ),
        *(replace(ASKED, **{f.name: OTHER[f.name]}) for f in fields(Prompt) if f.name != "role"),
    ]


def test_every_field_is_part_of_the_key() -> None:
    keys = [prompt.key("m@1") for prompt in (ASKED, *variants())] + [ASKED.key("m@2")]
    assert len(set(keys)) == len(keys)


def test_who_is_meant_to_answer_is_no_part_of_the_key() -> None:
    assert replace(ASKED, role="critic").key("m@1") == ASKED.key("m@1")


def test_texts_moved_between_messages_make_another_key() -> None:
    def key(*texts: str) -> str:
        messages = tuple(Message(role="user", content=text) for text in texts)
        return replace(ASKED, messages=messages).key("m@1")

    assert len({key("ab"), key("a", "b"), key("", "ab"), key('a","b')}) == 4


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), object()])
def test_what_has_no_canonical_form_has_no_key(temperature: Any) -> None:
    asked = replace(ASKED, decoding=Decoding(temperature=temperature, max_tokens=1))
    with pytest.raises((TypeError, ValueError)):
        asked.key("m@1")


def test_a_key_does_not_change_from_version_to_version() -> None:
    known = "f214f01afb4abe77d41f78345719df0e0872e34aebe039cc4fc22ebf35c5d22c"
    assert ASKED.key("m@1") == known
