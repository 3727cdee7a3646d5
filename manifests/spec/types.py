"""A mixture as a person writes it, read: sources, phases, changes. All quantities are exact.

A source is a selection over committed shards; a phase says how much of each source, in which
window, is trained on. `manifests.spec.read` makes these from TOML and refuses what does not fit.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

SCHEMA = "scriptorium.mixture/1"


def fits(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, in which `*` stands for anything and nothing else is special."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


class Layout(StrEnum):
    """How documents become samples of `sequence_length` tokens."""

    STREAM = "stream"
    """Documents end to end, each closed by the end-of-document token, cut into windows."""
    DOCUMENT = "document"
    """Every document begins a window of its own and goes on in further ones; never glued."""


class OnCap(StrEnum):
    """What happens when a source would be passed over more often than its `max_epochs`."""

    ERROR = "error"
    REDISTRIBUTE = "redistribute"
    """Capped sources give what they have, the others share the rest by their weights."""
    SHRINK = "shrink"
    """The phase's budget shrinks until every source fits; shares stay."""


class Rounding(StrEnum):
    """How a budget in tokens becomes whole global batches."""

    UP = "up"
    DOWN = "down"
    NEAREST = "nearest"


class Unit(StrEnum):
    """What a share is a share of."""

    TOKENS = "tokens"
    SAMPLES = "samples"


class Cursor(StrEnum):
    """Where a source begins in a phase that follows another."""

    CONTINUE = "continue"
    """Where the earlier phases stopped; nothing is repeated before an epoch is over."""
    RESTART = "restart"
    """At the source's first sample, in the order of its first epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerName:
    """The tokenizer whose tokens are counted; every shard must have been counted with it."""

    name: str
    """As the shards' statistics name it: `name@<12 hex digits>`, or `utf8-bytes@1`."""
    end_of_document: int
    """Token id that closes a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One test of a record: its column is one of `any_of`, or lies between `low` and `high`."""

    column: str
    """`bucket`, `generator`, `source`, `licence`, `lang`, `form`, `tokens`, `rounds`,
    `scores.<name>`."""
    any_of: tuple[str, ...] = ()
    """Texts, in which `*` stands for anything; empty for a column of numbers."""
    low: float | None = None
    high: float | None = None
    """Both included; None is no bound. A record without the score does not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """A source cut by a column, each stratum with a say of its own."""

    by: str
    """A column, as in `Condition`."""
    bounds: tuple[float, ...] = ()
    """For numbers: stratum i holds what is below bounds[i], the last one the rest."""
    rule: str = "proportional"
    """`proportional` to size, `sqrt` of size, `equal`, or `weights`."""
    weights: tuple[tuple[str, Fraction], ...] = ()
    """With the rule `weights`: a factor on the proportional share, by stratum name, in which `*`
    stands for anything; ask `factor`."""

    @property
    def numbered(self) -> tuple[str, ...]:
        """Names of the strata of a column of numbers: `below-8192`, `8192-16384`, `from-16384`."""
        ends = [_plain(bound) for bound in self.bounds]
        between = [f"{low}-{high}" for low, high in pairwise(ends)]
        return (f"below-{ends[0]}", *between, f"from-{ends[-1]}")

    def factor(self, stratum: str) -> Fraction:
        """A stratum's weight: of its very name, else of the longest pattern that fits, else 1."""
        fitting = [(name, weight) for name, weight in self.weights if fits(name, stratum)]
        exact = [weight for name, weight in fitting if name == stratum]
        if exact or not fitting:
            return exact[0] if exact else Fraction(1)
        return max(fitting, key=lambda pair: (len(pair[0]), pair[0]))[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """A named selection over committed shards."""

    name: str
    steps: tuple[str, ...]
    """`name`, `name@version`, with a fingerprint or its start after a slash; `*` stands for
    anything."""
    where: tuple[Condition, ...] = ()
    """All must hold."""
    without: tuple[Condition, ...] = ()
    """None may hold."""
    strata: Strata | None = None
    max_epochs: Fraction | None = None
    """Over all phases together."""
    partial: bool = False
    """Whether a step that is not complete may be used as far as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A source in a phase; one of share, weight, tokens, epochs."""

    name: str
    """The source; for a recall any name."""
    recall: str = ""
    """An earlier phase, whose sources come back in the proportions they had there."""
    share: Fraction | None = None
    weight: Fraction | None = None
    tokens: int | None = None
    epochs: Fraction | None = None
    layout: Layout | None = None
    """None: the phase's; of a recall: what each source had there."""
    cursor: Cursor = Cursor.CONTINUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Documents that must not be trained on; one of the three."""

    records: tuple[str, ...] = ()
    source: str = ""
    """A source of the mixture, whole."""
    report: str = ""
    """A file of record ids: `.parquet` or `.jsonl` with a column `id`, or `.txt`, one a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpec:
    """One phase of training."""

    name: str
    after: str = ""
    """The phase that it goes on from."""
    tokens: int | None = None
    """The budget; None: what the entries ask for in tokens and epochs."""
    sequence_length: int
    global_batch: int
    """Samples."""
    layout: Layout = Layout.STREAM
    unit: Unit = Unit.TOKENS
    round: Rounding = Rounding.UP
    on_cap: OnCap = OnCap.ERROR
    allow_zero: bool = False
    """Whether a source may end up without a single sample."""
    allow_overlap: bool = False
    """Whether two entries may hold the same record."""
    mix: tuple[Entry, ...]
    train: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Facts for the trainer, carried through: rope_base, mask, packing, loss, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From `at` on a phase goes on otherwise; what came before stays as it was."""

    phase: str
    step: int | None = None
    tokens: int | None = None
    """Where: a step, or tokens of the phase, rounded up to a step."""
    mix: tuple[Entry, ...] = ()
    """The whole mix from there on; empty: as before."""
    budget: int | None = None
    """A new budget of the whole phase, in tokens."""
    global_batch: int | None = None
    remove: tuple[Removal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A whole spec."""

    name: str
    seed: int
    tokenizer: TokenizerName
    sources: tuple[SourceSpec, ...]
    phases: tuple[PhaseSpec, ...]
    """Each after the one that it follows."""
    remove: tuple[Removal, ...] = ()
    """Never trained on, in no phase."""
    changes: tuple[Change, ...] = ()

    def source(self, name: str) -> SourceSpec:
        """The source of this name."""
        return next(source for source in self.sources if source.name == name)

    def phase(self, name: str) -> PhaseSpec:
        """The phase of this name."""
        return next(phase for phase in self.phases if phase.name == name)
