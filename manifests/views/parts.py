"""What supplies come to: samples, useful tokens, epochs; all of it exact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from manifests.resolve.types import Body, Phase, Supply
from manifests.views.asked import Got


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a leaf, or several together, come to in a phase."""

    got: Got
    epochs: Fraction
    layouts: tuple[str, ...] = ()
    splits: int = 0
    """Documents of an epoch that are longer than a window, where there are windows of documents."""

    @classmethod
    def of(cls, supplies: Sequence[Supply]) -> "Part":
        """A leaf's supplies in a phase."""
        return cls(
            got=Got(
                samples=sum(one.quota for one in supplies),
                tokens=tokens_of(supplies),
                unique_tokens=supplies[-1].body.tokens,
            ),
            epochs=epochs_of(supplies),
            layouts=tuple(sorted({str(one.body.layout) for one in supplies})),
            splits=supplies[-1].body.splits,
        )

    @property
    def tokens(self) -> Fraction:
        """Useful tokens."""
        return self.got.tokens


def together(parts: Iterable[Part]) -> Part:
    """Several as one; its epochs are their mean, in which each weighs as it has tokens."""
    found = list(parts)
    unique = sum(one.got.unique_tokens for one in found)
    weighed = [(one, Fraction(one.got.unique_tokens, unique)) for one in found]
    return Part(
        got=Got(
            samples=sum(one.got.samples for one in found),
            tokens=sum((one.tokens for one in found), Fraction(0)),
            unique_tokens=unique,
        ),
        epochs=sum((one.epochs * weight for one, weight in weighed), Fraction(0)),
        layouts=tuple(sorted({layout for one in found for layout in one.layouts})),
        splits=sum(one.splits for one in found),
    )


def supplies_of(phase: Phase) -> list[Supply]:
    """Of all its segments."""
    return [supply for segment in phase.segments for supply in segment.supplies]


def epochs_of(supplies: Iterable[Supply]) -> Fraction:
    """What is left of an epoch that was begun on other shards counts as the part that it is."""
    return sum((Fraction(n, body.samples) for body, n in _taken(supplies)), Fraction(0))


def tokens_of(supplies: Iterable[Supply]) -> Fraction:
    """Useful tokens, without padding."""
    parts = (Fraction(n * body.tokens, body.samples) for body, n in _taken(supplies))
    return sum(parts, Fraction(0))


def _taken(supplies: Iterable[Supply]) -> Iterable[tuple[Body, int]]:
    """Samples taken, with what they are samples of."""
    for supply in supplies:
        head = min(supply.head.count, supply.quota) if supply.head else 0
        if supply.head and head:
            yield supply.head.body, head
        if supply.quota > head:
            yield supply.body, supply.quota - head
