"""What the entries of a mix ask of each leaf: an exact amount, or a weight in the rest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt

from manifests.errors import ConfigError
from manifests.resolve.state import consumed
from manifests.resolve.supplies import Supplies
from manifests.resolve.types import Body, LeafSupply, Phase, source_of
from manifests.spec.types import Cursor, Entry, Layout, Mixture, PhaseSpec, Strata, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One leaf in one segment; amounts in samples."""

    leaf: str
    body: Body
    cursor: Cursor
    amount: Fraction = Fraction()
    """Samples asked for outright, by tokens or epochs."""
    weight: Fraction = Fraction()
    """Part in the samples that are left when all amounts are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Tokens that an earlier phase, or an earlier part of this one, trained on."""

    tokens: Fraction
    layout: Layout


def demands(
    mixture: Mixture,
    phase: PhaseSpec,
    supplies: Supplies,
    earlier: Mapping[str, Phase],
    done: Mapping[str, Given],
) -> list[Demand]:
    """What each leaf is asked for, by leaf name; `done` is what outright amounts already got.

    Raises:
        ConfigError: A source has no leaf, or a leaf comes in twice in ways that do not add up.
    """
    found: dict[str, Demand] = {}
    for entry in phase.mix:
        for demand in _of_entry(mixture, phase, entry, supplies, earlier, done):
            if not demand.amount and not demand.weight:
                continue
            same = found.get(demand.leaf)
            found[demand.leaf] = _together(phase, same, demand) if same else demand
    return [found[leaf] for leaf in sorted(found)]


def _together(phase: PhaseSpec, one: Demand, other: Demand) -> Demand:
    if (one.body, one.cursor) != (other.body, other.cursor):
        raise ConfigError(
            f"phase {phase.name}: source {one.leaf} comes in by two entries with different layouts"
            " or cursors; give the recall the source's own"
        )
    return replace(one, amount=one.amount + other.amount, weight=one.weight + other.weight)


def _of_entry(
    mixture: Mixture,
    phase: PhaseSpec,
    entry: Entry,
    supplies: Supplies,
    earlier: Mapping[str, Phase],
    done: Mapping[str, Given],
) -> Iterable[Demand]:
    if entry.recall:
        portions = _recalled(entry, earlier[entry.recall], supplies, phase.sequence_length)
    else:
        portions = _portions(mixture, phase, entry, supplies)
    whole = sum(supply.body.tokens for supply, _ in portions)
    for found, portion in portions:
        had = done[found.leaf].tokens if found.leaf in done else Fraction()
        yield _demand(phase, entry, found, portion, whole, had)


def _portions(
    mixture: Mixture, phase: PhaseSpec, entry: Entry, supplies: Supplies
) -> list[tuple[LeafSupply, Fraction]]:
    """A source's leaves, with their parts of whatever it is given; none when it was removed."""
    layout = entry.layout or phase.layout
    leaves = supplies.leaves(entry.name)
    found = [supplies.of(leaf, layout, phase.sequence_length) for leaf in leaves]
    strata = mixture.source(entry.name).strata
    sizes = [_size(strata, supply) for supply in found]
    whole = sum(sizes, Fraction())
    if found and not whole:
        raise ConfigError(
            f"source {entry.name}: the weights of all its strata are 0; give one of them more"
        )
    return [(supply, size / whole) for supply, size in zip(found, sizes, strict=True)]


def _size(strata: Strata | None, supply: LeafSupply) -> Fraction:
    tokens = supply.body.tokens
    if strata is None:
        return Fraction(tokens)
    match strata.rule:
        case "equal":
            return Fraction(1)
        case "sqrt":
            return Fraction(isqrt(tokens))
        case "weights":
            return tokens * strata.factor(supply.leaf.partition("/")[2])
        case _:
            return Fraction(tokens)


def _recalled(
    entry: Entry, phase: Phase, supplies: Supplies, sequence_length: int
) -> list[tuple[LeafSupply, Fraction]]:
    """The leaves of an earlier phase, with their parts of the tokens it trained on."""
    given = trained(phase)
    there = {
        leaf: had
        for leaf, had in given.items()
        if had.tokens and leaf in supplies.leaves(source_of(leaf))
    }
    if not there:
        raise ConfigError(
            f"recall of {entry.recall}: nothing that it trained on is there any more; take"
            f" {entry.name} out of the mix"
        )
    whole = sum((had.tokens for had in there.values()), Fraction())
    return [
        (supplies.of(leaf, entry.layout or had.layout, sequence_length), had.tokens / whole)
        for leaf, had in there.items()
    ]


def trained(phase: Phase) -> dict[str, Given]:
    """Useful tokens of each leaf that a phase trains on, under its last layout."""
    found: dict[str, Given] = {}
    for segment in phase.segments:
        counts = consumed(segment, segment.stop)
        for supply, count in zip(segment.supplies, counts, strict=True):
            of_head = min(count, supply.head.count) if supply.head else 0
            body = supply.body
            tokens = Fraction((count - of_head) * body.tokens, body.samples)
            if supply.head:
                old = supply.head.body
                tokens += Fraction(of_head * old.tokens, old.samples)
            before = found[supply.leaf].tokens if supply.leaf in found else Fraction()
            found[supply.leaf] = Given(tokens=before + tokens, layout=body.layout)
    return found


def _demand(
    phase: PhaseSpec,
    entry: Entry,
    supply: LeafSupply,
    portion: Fraction,
    whole: int,
    had: Fraction,
) -> Demand:
    body = supply.body
    samples_of_token = Fraction(body.samples, body.tokens) if body.tokens else Fraction(1)
    demand = Demand(leaf=supply.leaf, body=body, cursor=entry.cursor)
    relative = entry.share if entry.share is not None else entry.weight
    if relative is not None:
        per = samples_of_token if phase.unit is Unit.TOKENS else Fraction(1)
        return replace(demand, weight=relative * portion * per)
    if entry.tokens is not None:
        wanted = Fraction(entry.tokens)
    else:
        wanted = (entry.epochs or Fraction()) * whole
    left = max(Fraction(), wanted * portion - had)
    return replace(demand, amount=left * samples_of_token)
