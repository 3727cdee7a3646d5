"""What segments train on, by leaf: samples, tokens, epochs; and segments cut short by a change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.interleave import Interleave
from manifests.resolve.types import Segment, Supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of one leaf."""

    samples: int = 0
    tokens: Fraction = Fraction()
    """Useful ones; under DOCUMENT every sample counts as the mean of its body."""
    epochs: Fraction = Fraction()

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            samples=self.samples + other.samples,
            tokens=self.tokens + other.tokens,
            epochs=self.epochs + other.epochs,
        )


def used(segments: Iterable[Segment]) -> dict[str, Usage]:
    """By leaf; only leaves that give a sample."""
    found: dict[str, Usage] = {}
    for supply in (supply for segment in segments for supply in segment.supplies):
        if supply.quota:
            found[supply.leaf] = found.get(supply.leaf, Usage()) + _of_supply(supply)
    return found


def _of_supply(supply: Supply) -> Usage:
    of_head = min(supply.quota, supply.head.count) if supply.head else 0
    parts = [(supply.body, supply.quota - of_head)]
    parts += [(supply.head.body, of_head)] if supply.head else []
    return Usage(
        samples=supply.quota,
        tokens=sum((Fraction(n * body.tokens, body.samples) for body, n in parts), Fraction()),
        epochs=sum((Fraction(n, body.samples) for body, n in parts), Fraction()),
    )


def cut(segments: Sequence[Segment], step: int) -> tuple[Segment, ...]:
    """What lies before a step; a segment cut short keeps the plan that its order follows."""
    kept = []
    for segment in segments:
        stop = segment.start + (step - segment.first_step) * segment.global_batch
        if stop >= segment.stop:
            kept.append(segment)
        elif stop > segment.start:
            kept.append(_shortened(segment, stop))
    return tuple(kept)


def left_of_plan(segments: Iterable[Segment]) -> Fraction:
    """What part of what segments under one mix were to train on is still to come."""
    left = Fraction(1)
    for segment in segments:
        planned = sum(supply.planned or supply.quota for supply in segment.supplies)
        left *= 1 - Fraction(segment.stop - segment.start, planned)
    return left


def _shortened(segment: Segment, stop: int) -> Segment:
    planned = [supply.planned or supply.quota for supply in segment.supplies]
    counts = Interleave(planned).counts(stop - segment.start).tolist()
    rows = zip(segment.supplies, counts, planned, strict=True)
    supplies = tuple(replace(one, quota=count, planned=plan) for one, count, plan in rows)
    return replace(segment, stop=stop, supplies=supplies)
