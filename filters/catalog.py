"""Every filter that a recipe can name. Adding one is one line here."""

from filters.contract import Filter
from filters.language import Language
from filters.refusal import RefusalOpening, SelfTalk
from filters.repetition import Repeated, RepeatedGrams, TopGram
from filters.text import MEASURES, Text

_FILTERS: tuple[Filter, ...] = (
    *(Text(measure=measure) for measure in MEASURES),
    Repeated(pieces="paragraphs"),
    Repeated(pieces="paragraphs", characters=True),
    Repeated(pieces="lines"),
    Repeated(pieces="lines", characters=True),
    *(TopGram(n=n) for n in (2, 3, 4)),
    *(RepeatedGrams(n=n) for n in (5, 6, 7, 8, 9, 10)),
    Language(),
    Language(expected="en"),
    RefusalOpening(),
    SelfTalk(),
)
FILTERS: dict[str, Filter] = {entry.name: entry for entry in _FILTERS}
"""By `name@version`."""
