"""What a spec asks for, source by source, in the measure of its phase: to hold the result against.

Shares are of the whole phase; weights share what tokens and epochs of others leave; a recall
brings back an earlier phase's sources in the proportions that they had there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from manifests.spec.types import Entry, PhaseSpec, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What a source has in a phase, or all of them together."""

    samples: int
    tokens: Fraction
    unique_tokens: int

    def amount(self, unit: Unit) -> Fraction:
        """In what shares are shares of."""
        return self.tokens if unit is Unit.TOKENS else Fraction(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a source was to have."""

    text: str
    """As the spec says it."""
    share: Fraction


def asked_of(
    spec: PhaseSpec,
    whole: Got,
    sources: Mapping[str, Got],
    earlier: Mapping[str, Mapping[str, Fraction]],
) -> dict[str, Asked]:
    """By source. `earlier` has the shares of sources by phase, for recalls."""
    shares = _shares(spec, whole, sources, earlier)
    found: dict[str, list[Asked]] = {}
    for entry, share in zip(spec.mix, shares, strict=True):
        if not entry.recall:
            found.setdefault(entry.name, []).append(Asked(text=_text(entry), share=share))
            continue
        for source, part in earlier[entry.recall].items():
            text = f"{_text(entry)} of {entry.recall}"
            found.setdefault(source, []).append(Asked(text=text, share=share * part))
    return {
        source: Asked(
            text=" + ".join(one.text for one in all_of_it),
            share=sum((one.share for one in all_of_it), Fraction(0)),
        )
        for source, all_of_it in found.items()
    }


def _shares(
    spec: PhaseSpec,
    whole: Got,
    sources: Mapping[str, Got],
    earlier: Mapping[str, Mapping[str, Fraction]],
) -> list[Fraction]:
    """Of each entry."""
    total = whole.amount(spec.unit)
    amounts = [_absolute(entry, spec.unit, sources, earlier) for entry in spec.mix]
    rest = 1 - sum((amount for amount in amounts if amount is not None), Fraction(0)) / total
    weights = sum((entry.weight or 0 for entry in spec.mix), Fraction(0))
    return [
        entry.share
        if entry.share is not None
        else rest * entry.weight / weights
        if entry.weight is not None
        else (amount or 0) / total
        for entry, amount in zip(spec.mix, amounts, strict=True)
    ]


def _absolute(
    entry: Entry,
    unit: Unit,
    sources: Mapping[str, Got],
    earlier: Mapping[str, Mapping[str, Fraction]],
) -> Fraction | None:
    """What an entry in tokens or epochs comes to; None for one that takes a part."""
    if entry.tokens is None and entry.epochs is None:
        return None
    names = list(earlier[entry.recall]) if entry.recall else [entry.name]
    there = [sources[name] for name in names if name in sources]
    tokens = Fraction(entry.tokens or 0)
    if entry.epochs is not None:
        tokens = entry.epochs * sum(one.unique_tokens for one in there)
    used = _sum(there)
    return tokens * used.amount(unit) / used.tokens if used.tokens else tokens


def _sum(sources: Sequence[Got]) -> Got:
    return Got(
        samples=sum(one.samples for one in sources),
        tokens=sum((one.tokens for one in sources), Fraction(0)),
        unique_tokens=sum(one.unique_tokens for one in sources),
    )


def _text(entry: Entry) -> str:
    if entry.share is not None:
        return f"{_number(entry.share * 100)}%"
    if entry.weight is not None:
        return f"weight {_number(entry.weight)}"
    if entry.epochs is not None:
        return f"{_number(entry.epochs)} epoch{'' if entry.epochs == 1 else 's'}"
    return f"{entry.tokens:,} tokens"


def _number(number: Fraction) -> str:
    """As it was written, if it was a decimal; else to four digits."""
    return f"{float(number):.6g}"
