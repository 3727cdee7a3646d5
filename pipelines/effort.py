"""What a method would ask of its teacher for one item, read from its own fields.

Bounds of its loops are taken as reached, so these are upper estimates of calls; tokens follow from
its prompt texts and decoding limits. Everything else is assumed [I], and a plan says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from statistics import mean
from typing import TypeVar

from generators.asking import PromptText
from generators.contract import Curator, Generator
from generators.dialogue import Dialogue
from generators.instruction import AgentInstruct
from generators.reversal import Reversal
from generators.revision import SelfRevision
from generators.rewrite import Rewrite
from generators.seeds.by_kind import ByKind
from generators.seeds.curate import SeedCurator
from manifests.completions import Decoding

Found = TypeVar("Found")

PASSAGES = 4.0
"""Of a document, where the curator would take more [I]."""
CHAINED = 0.5
"""Share of passages with a chain of reasoning, which is one call more [I]."""
OTHER_CALLS = 5.0
"""Of a method that is not known here [I]."""
SOURCE_TOKENS = 350.0
"""Of the passage that most prompts hold [I]."""
TOKEN_CHARS = 4.0
ANSWERED = 0.4
"""Tokens of an answer as a share of its limit [I]."""
YIELD = 0.5
"""Items that give rows [I]."""
RECORD_TOKENS = 500.0
"""[I]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Expected for one item."""

    calls: float
    prompt_tokens: float
    answer_tokens: float
    rows: float
    """Made of it, failures counted in."""


def effort(method: Curator | Generator) -> Effort:
    """What one item of this method takes."""
    calls, rows = _calls_and_rows(method)
    texts = [len(t.system) + len(t.user) for t in _found(method, PromptText)]
    limits = [decoding.max_tokens for decoding in _found(method, Decoding)]
    asked = mean(texts) / TOKEN_CHARS if texts else 0.0
    answer = ANSWERED * mean(limits) if limits else 0.0
    said = _history(method) * answer
    return Effort(
        calls=calls,
        prompt_tokens=calls * (asked + SOURCE_TOKENS + said),
        answer_tokens=calls * answer,
        rows=YIELD * rows,
    )


def _calls_and_rows(method: object) -> tuple[float, float]:
    """Calls at most, and rows where nothing fails."""
    match method:
        case ByKind():
            prose, code = _calls_and_rows(method.prose), _calls_and_rows(method.code)
            return (prose[0] + code[0]) / 2, (prose[1] + code[1]) / 2
        case SeedCurator():
            passages = min(PASSAGES, method.max_passages)
            return 1 + passages * (2 + CHAINED), passages
        case Rewrite():
            return 1, 1
        case SelfRevision():
            compared = 2 if method.blind and method.rounds > 1 else 0
            # A solution is judged by a second call where it is not the key to the letter.
            return 2 * method.rounds + compared + 2 * (method.solve + method.closed_book), 1
        case Reversal():
            return 1 + method.regenerations, 1
        case AgentInstruct():
            each = 1 + 2 * method.refinements + 2
            count = method.instructions_per_seed
            return (method.transformation.text is not None) + count * each, count
        case Dialogue():
            return 2 * method.turns + 1, 1
    return OTHER_CALLS, 1


def _history(method: object) -> float:
    """Answers that a prompt repeats, in the mean."""
    return float(method.turns) if isinstance(method, Dialogue) else 0.0


def _found(value: object, wanted: type[Found]) -> Iterator[Found]:
    """All values of a type in the fields of a method, however deep."""
    if isinstance(value, wanted):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _found(one, wanted)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _found(getattr(value, field.name), wanted)
