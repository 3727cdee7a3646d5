"""What a scorer is asked: a critique first, then a score from 0 to 5.

The fields stand in the order in which they are to be written, which is also that of the alphabet.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from generators.seeds.segment import count_words

Score = Literal[0, 1, 2, 3, 4, 5]
Critique = Annotated[str, Field(min_length=1, max_length=300)]


class PageScore(BaseModel):
    """What the scorer says of a page."""

    model_config = ConfigDict(extra="forbid")
    critique: Critique
    score: Score


class PassageScore(BaseModel):
    """What the scorer says of a passage."""

    model_config = ConfigDict(extra="forbid")
    critique: Critique
    factual: Score
    reasoning: Score


def excerpt(text: str, words: int) -> str:
    """`text`, or a third of `words` each from its beginning, middle and end."""
    if count_words(text) <= words:
        return text
    chars = max(1, len(text) * words // count_words(text) // 3)
    middle = (len(text) - chars) // 2
    parts = (text[:chars], text[middle : middle + chars], text[-chars:])
    return "\n[...]\n".join(parts)
