"""Which scores the recipes keep: policy, with the source of every number at its filter."""

from filters.contract import Gate
from filters.language import OWN_LANGUAGE
from filters.refusal import NO_REFUSALS
from filters.repetition import GOPHER_REPETITION, Repeated
from filters.text import GOPHER_QUALITY, Text
from manifests.records import Reason

LENGTH = (
    Gate(filter=Text(measure="words"), low=50, reason=Reason.TOO_SHORT),
    Gate(filter=Text(measure="words"), high=100_000, reason=Reason.TOO_LONG),
)
"""[RW:Gopher A1.1]; the other Gopher rules are for web pages and drop code and dialogues."""

STANDARD_GATES = (*LENGTH, *GOPHER_REPETITION, *NO_REFUSALS, OWN_LANGUAGE)
"""Of the recipe `synthesize`."""

QUICK_GATES = (
    Gate(filter=Text(measure="words"), low=10, reason=Reason.TOO_SHORT),
    Gate(filter=Repeated(pieces="lines"), high=0.5, reason=Reason.REPETITIVE),
    *NO_REFUSALS,
)
"""Of the recipe `quickstart`, whose small teacher writes short texts [I]."""


def web_gates(lang: str) -> tuple[Gate, ...]:
    """Of web pages in this language in the recipe `organic` [RW:Gopher A1].

    The rule on stop words counts English ones and is left out for other languages.
    """
    english = Text(measure="stop_words").name
    quality = (g for g in GOPHER_QUALITY if lang == "en" or g.filter.name != english)
    return (*quality, *GOPHER_REPETITION, OWN_LANGUAGE)


ACQUIRED_GATES = (LENGTH[0], *GOPHER_REPETITION, OWN_LANGUAGE)
"""Of books and papers in the recipe `organic`: they may be long, and full of symbols [I]."""

CODE_GATES = (
    Gate(filter=Text(measure="words"), low=10, reason=Reason.TOO_SHORT),
    Gate(filter=Text(measure="letters"), low=0.25, reason=Reason.LOW_QUALITY),
    Gate(filter=Repeated(pieces="lines", characters=True), high=0.5, reason=Reason.REPETITIVE),
)
"""Of code in the recipe `organic`: neither data nor generated [I]; code repeats itself by nature,
so the rules for prose do not fit."""
