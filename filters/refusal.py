"""Text in which a model declines, or speaks of itself: nothing a trained model should learn.

Patterns for RE2, run over a whole column at once. They are English and want to be precise rather
than complete: "I cannot say" in a story must survive.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Gate
from manifests.records import Reason

_A = r"['\x{2019}]"
"""An apostrophe, straight or curly."""
_CANNOT = (
    rf"(?:can(?:no|{_A})t|can not|(?:am|{_A}m) (?:not able|unable) to|won{_A}t|must decline to)"
)
_DO = (
    r"(?:help|assist|fulfil|comply|provide|create|generate|write|produce|answer|complete|continue"
    r"|discuss|engage|support|do that)"
)
_MODEL = r"(?:an ai\b|(?:an ai|a large|a) language model|an artificial intelligence)"
_OPENERS = (
    rf"(?:i{_A}m|i am) (?:very |so |really )?(?:sorry|afraid)\b[^\n]{{0,80}}\b{_CANNOT}\b",
    rf"(?:i )?apologi[sz]e\b[^\n]{{0,80}}\b{_CANNOT}\b",
    rf"sorry,?[^\n]{{0,40}}\bi {_CANNOT}\b",
    rf"(?:unfortunately,? )?i {_CANNOT} {_DO}\b",
    rf"as {_MODEL}",
    rf"(?:sure|of course|certainly|absolutely)\s*[!.,:][^\n]{{0,20}}\bhere(?:{_A}s| is| are)\b",
    rf"i{_A}d be happy to\b",
    rf"(?:i{_A}m|i am) (?:here|ready|happy) to (?:help|assist)\b",
)
_PHRASES = (
    rf"\bas {_MODEL}",
    rf"\bi(?: am|{_A}m) (?:just |only )?{_MODEL}",
    r"\bmy (?:training data|knowledge cut-?off)\b",
    rf"\bi {_CANNOT} (?:help|assist|comply|fulfil)(?: you)? with (?:that|this)\b",
)
_OPENING = rf"(?i)^[\s\"'*_#>]*(?:{'|'.join(_OPENERS)})"
_ANYWHERE = rf"(?i)(?:{'|'.join(_PHRASES)})"


def _column(batch: pa.RecordBatch) -> pa.Array:
    return pc.fill_null(batch.column("text"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalOpening:
    """1 where a text opens with a refusal or with an assistant's courtesy, else 0."""

    @property
    def name(self) -> str:
        """`name@version`."""
        return "refusal.opening@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """0 or 1 a row."""
        return pc.match_substring_regex(_column(batch), _OPENING).cast(pa.float64())


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTalk:
    """Phrases in which a model speaks of itself, per line that is not blank."""

    @property
    def name(self) -> str:
        """`name@version`."""
        return "refusal.self_talk@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One ratio a row; an empty text scores 0."""
        text = _column(batch)
        phrases = pc.count_substring_regex(text, _ANYWHERE).cast(pa.float64())
        lines = pc.count_substring_regex(text, r"(?m)^.*\S.*$").cast(pa.float64())
        return pc.divide(phrases, pc.max_element_wise(lines, 1.0))


NO_REFUSALS = (
    Gate(filter=RefusalOpening(), high=0, reason=Reason.REFUSAL),
    Gate(filter=SelfTalk(), high=0, reason=Reason.REFUSAL),
)
"""[I]"""
