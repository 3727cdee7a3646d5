"""What every phase of a manifest trains on, in numbers to decide by; from its root and its spec.

All of it is computed from the whole numbers of the root, so it is exact; shares and epochs are
fractions. A source that is cut into strata has a line of its own and one for each stratum.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.objects.root import Root
from manifests.resolve.types import Body, Phase, Segment, Supply
from manifests.spec.types import Mixture, OnCap, PhaseSpec, Unit
from manifests.views.asked import Asked, Got, asked_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """A source, or a stratum of it, in a phase."""

    source: str
    stratum: str = ""
    """Empty: the source as a whole."""
    asked: str = ""
    """What the spec says, as `40%` or `2 epochs`; empty for a stratum and after a change."""
    share_asked: Fraction | None = None
    """Of the phase; None where `asked` is empty."""
    samples: int
    tokens: int
    """Trained on, epochs counted; without padding."""
    share: Fraction
    """Of the phase's tokens, or of its samples where the spec says so."""
    unique_tokens: int
    """Of one epoch."""
    epochs: Fraction
    """In this phase."""
    epochs_so_far: Fraction
    """In this phase and in those that it goes on from."""
    max_epochs: Fraction | None = None
    shortfall: int = 0
    """Tokens that were asked for and that `max_epochs` denies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLine:
    """A stretch of a phase under one mix."""

    first_step: int
    steps: int
    global_batch: int
    shares: dict[str, Fraction]
    """Of the samples, by source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLines:
    """A phase."""

    name: str
    after: str
    sequence_length: int
    layouts: tuple[str, ...]
    steps: int
    samples: int
    tokens: int
    """Trained on; without padding."""
    tokens_asked: int | None
    """None: what its entries ask for."""
    padding: Fraction
    """Of all positions of its windows."""
    segments: tuple[SegmentLine, ...]
    sources: tuple[SourceLine, ...]
    """By name, the strata of a source after it."""


def phase_lines(root: Root, mixture: Mixture) -> tuple[PhaseLines, ...]:
    """Every phase of a manifest that was resolved from this mixture, in their order."""
    lines: list[PhaseLines] = []
    exposed: dict[str, dict[str, Fraction]] = {"": {}}
    shares: dict[str, dict[str, Fraction]] = {}
    for phase in root.phases:
        exposed[phase.name] = _exposed(phase, exposed[phase.after])
        line = _phase_lines(mixture, phase, exposed[phase.name], shares)
        shares[phase.name] = {one.source: one.share for one in line.sources if not one.stratum}
        lines.append(line)
    return tuple(lines)


def _phase_lines(
    mixture: Mixture,
    phase: Phase,
    exposed: dict[str, Fraction],
    earlier: dict[str, dict[str, Fraction]],
) -> PhaseLines:
    supplies = _supplies(phase)
    tokens = int(_tokens(supplies))
    return PhaseLines(
        name=phase.name,
        after=phase.after,
        sequence_length=phase.sequence_length,
        layouts=tuple(sorted({str(one.body.layout) for one in supplies})),
        steps=phase.steps,
        samples=phase.samples,
        tokens=tokens,
        tokens_asked=_budget(mixture, phase.name),
        padding=1 - Fraction(tokens, phase.samples * phase.sequence_length),
        segments=tuple(map(_segment, phase.segments)),
        sources=tuple(_source_lines(mixture, phase, exposed, earlier)),
    )


def _supplies(phase: Phase) -> list[Supply]:
    return [supply for segment in phase.segments for supply in segment.supplies]


def _exposed(phase: Phase, before: dict[str, Fraction]) -> dict[str, Fraction]:
    """Epochs by leaf when the phase is over."""
    exposed = dict(before)
    for supply in _supplies(phase):
        exposed[supply.leaf] = exposed.get(supply.leaf, Fraction(0)) + _epochs([supply])
    return exposed


def _epochs(supplies: Iterable[Supply]) -> Fraction:
    """What is left of an epoch that was begun on other shards counts as the part that it is."""
    return sum((Fraction(n, body.samples) for body, n in _taken(supplies)), Fraction(0))


def _tokens(supplies: Iterable[Supply]) -> Fraction:
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


def _budget(mixture: Mixture, phase: str) -> int | None:
    """The budget as it was asked for last."""
    changed = [c.budget for c in mixture.changes if c.phase == phase and c.budget is not None]
    return changed[-1] if changed else mixture.phase(phase).tokens


def _segment(segment: Segment) -> SegmentLine:
    samples = segment.stop - segment.start
    shares: dict[str, Fraction] = {}
    for one in segment.supplies:
        source = one.leaf.partition("/")[0]
        shares[source] = shares.get(source, Fraction(0)) + Fraction(one.quota, samples)
    return SegmentLine(
        first_step=segment.first_step,
        steps=samples // segment.global_batch,
        global_batch=segment.global_batch,
        shares=shares,
    )


def _source_lines(
    mixture: Mixture,
    phase: Phase,
    exposed: dict[str, Fraction],
    earlier: dict[str, dict[str, Fraction]],
) -> Iterable[SourceLine]:
    leaves: dict[str, list[Supply]] = {}
    for supply in _supplies(phase):
        leaves.setdefault(supply.leaf, []).append(supply)
    made = {name: _Part.of(supplies, exposed[name]) for name, supplies in leaves.items()}
    sources: dict[str, list[str]] = {}
    for name in sorted(made):
        sources.setdefault(name.partition("/")[0], []).append(name)
    parts = {source: _together(made[name] for name in names) for source, names in sources.items()}
    whole = _together(parts.values())
    spec = mixture.phase(phase.name)
    changed = any(change.mix for change in mixture.changes if change.phase == phase.name)
    got = {source: part.got for source, part in parts.items()}
    asked = {} if changed else asked_of(spec, whole.got, got, earlier)
    stretch = _shrunk(spec, phase)
    for source, part in parts.items():
        one = _line(part, whole, spec.unit, source)
        yield _compared(one, asked.get(source), mixture, whole.tokens * stretch, phase)
        for name in sources[source]:
            if stratum := name.partition("/")[2]:
                yield _line(made[name], whole, spec.unit, source, stratum)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What a leaf, or several together, come to in a phase."""

    got: Got
    epochs: Fraction
    so_far: Fraction

    @classmethod
    def of(cls, supplies: Sequence[Supply], so_far: Fraction) -> "_Part":
        return cls(
            got=Got(
                samples=sum(one.quota for one in supplies),
                tokens=_tokens(supplies),
                unique_tokens=supplies[-1].body.tokens,
            ),
            epochs=_epochs(supplies),
            so_far=so_far,
        )

    @property
    def tokens(self) -> Fraction:
        return self.got.tokens


def _together(parts: Iterable[_Part]) -> _Part:
    """Several as one; its epochs are their mean, in which each weighs as it has tokens."""
    found = list(parts)
    unique = sum(one.got.unique_tokens for one in found)
    weighed = [(one, Fraction(one.got.unique_tokens, unique)) for one in found]
    return _Part(
        got=Got(
            samples=sum(one.got.samples for one in found),
            tokens=sum((one.tokens for one in found), Fraction(0)),
            unique_tokens=unique,
        ),
        epochs=sum((one.epochs * weight for one, weight in weighed), Fraction(0)),
        so_far=sum((one.so_far * weight for one, weight in weighed), Fraction(0)),
    )


def _line(part: _Part, whole: _Part, unit: Unit, source: str, stratum: str = "") -> SourceLine:
    return SourceLine(
        source=source,
        stratum=stratum,
        samples=part.got.samples,
        tokens=int(part.tokens),
        share=part.got.amount(unit) / whole.got.amount(unit),
        unique_tokens=part.got.unique_tokens,
        epochs=part.epochs,
        epochs_so_far=part.so_far,
    )


def _compared(
    line: SourceLine, asked: Asked | None, mixture: Mixture, tokens: Fraction, phase: Phase
) -> SourceLine:
    """The line with what was asked for, of so many tokens in all, and with what its cap denied."""
    cap = {source.name: source.max_epochs for source in mixture.sources}.get(line.source)
    line = replace(line, max_epochs=cap)
    if asked is None:
        return line
    left = (cap - line.epochs_so_far) * line.unique_tokens if cap is not None else None
    spent = left is not None and left < phase.sequence_length * len(_supplies(phase))
    missing = int(asked.share * tokens) - line.tokens if spent else 0
    return replace(line, asked=asked.text, share_asked=asked.share, shortfall=max(0, missing))


def _shrunk(spec: PhaseSpec, phase: Phase) -> Fraction:
    """How many times the phase's budget is what it got, where it was shrunk to fit; else 1."""
    if spec.on_cap is not OnCap.SHRINK or spec.tokens is None:
        return Fraction(1)
    return max(Fraction(1), Fraction(spec.tokens, phase.samples * phase.sequence_length))
