"""The end of a bounded answer: a grammar closes a string at its limit, in the middle of a word."""

import re

from generators.contract import Declined
from manifests.records import Reason

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f\u0964][\"'\u201d\u2019)\]*]*(?=\s|\Z)")


def whole_sentences(text: str, limit: int) -> str:
    """`text`; where it fills its limit of characters, up to the end of its last whole sentence.

    Raises:
        Declined: It fills the limit with no whole sentence.
    """
    if len(text) < limit:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if not ends:
        raise Declined(Reason.TRUNCATED, f"one sentence of more than {limit} characters")
    return text[: ends[-1]]
