"""Which scores the recipes keep: policy, with the source of every number at its filter."""

from filters.contract import Gate
from filters.language import OWN_LANGUAGE
from filters.refusal import NO_REFUSALS
from filters.repetition import GOPHER_REPETITION, Repeated
from filters.text import Text
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
