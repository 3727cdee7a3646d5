"""What every phase of a manifest trains on, in numbers to decide by; from its root and its spec.

All of it is computed from the whole numbers of the root, so it is exact; shares and epochs are
fractions. A source that is cut into strata has a line of its own and one for each stratum.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.objects.root import Root
from manifests.resolve.types import Phase, Segment, Supply
from manifests.spec.types import Mixture, OnCap, Unit
from manifests.views.asked import Asked, asked_of
from manifests.views.parts import Part, supplies_of, together, tokens_of

Epochs = dict[tuple[str, str], Fraction]
"""By source and stratum."""


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
    layouts: tuple[str, ...] = ()
    padding: Fraction
    """Of the positions of its samples: they are computed and teach nothing."""
    splits: int = 0
    """Documents of an epoch that are longer than a window; not counted in a stream."""


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
    so_far: dict[str, Epochs] = {"": {}}
    shares: dict[str, dict[str, Fraction]] = {}
    for phase in root.phases:
        line = _phase_lines(mixture, phase, so_far[phase.after], shares)
        here = {(one.source, one.stratum): one.epochs_so_far for one in line.sources}
        so_far[phase.name] = so_far[phase.after] | here
        shares[phase.name] = {one.source: one.share for one in line.sources if not one.stratum}
        lines.append(line)
    return tuple(lines)


def _phase_lines(
    mixture: Mixture,
    phase: Phase,
    before: Epochs,
    earlier: dict[str, dict[str, Fraction]],
) -> PhaseLines:
    supplies = supplies_of(phase)
    tokens = int(tokens_of(supplies))
    return PhaseLines(
        name=phase.name,
        after=phase.after,
        sequence_length=phase.sequence_length,
        layouts=tuple(sorted({str(one.body.layout) for one in supplies})),
        steps=phase.steps,
        samples=phase.samples,
        tokens=tokens,
        tokens_asked=budget_of(mixture, phase.name),
        padding=1 - Fraction(tokens, phase.samples * phase.sequence_length),
        segments=tuple(map(_segment, phase.segments)),
        sources=tuple(_source_lines(mixture, phase, before, earlier)),
    )


def budget_of(mixture: Mixture, phase: str) -> int | None:
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
    before: Epochs,
    earlier: dict[str, dict[str, Fraction]],
) -> Iterable[SourceLine]:
    leaves: dict[str, list[Supply]] = {}
    for supply in supplies_of(phase):
        leaves.setdefault(supply.leaf, []).append(supply)
    made = {name: Part.of(supplies) for name, supplies in leaves.items()}
    sources: dict[str, list[str]] = {}
    for name in sorted(made):
        sources.setdefault(name.partition("/")[0], []).append(name)
    parts = {source: together(made[name] for name in names) for source, names in sources.items()}
    whole = together(parts.values())
    spec = mixture.phase(phase.name)
    changes = [change for change in mixture.changes if change.phase == phase.name]
    # More segments than the spec has changes: the manifest went on from another one's mix.
    rebased = len(phase.segments) > len(changes) + 1
    changed = rebased or any(change.mix for change in changes)
    got = {source: part.got for source, part in parts.items()}
    asked = {} if changed else asked_of(spec, whole.got, got, earlier)
    stretch, length = _shrunk(mixture, phase), phase.sequence_length
    for source, part in parts.items():
        one = _line(part, whole, spec.unit, length, before, source)
        yield _compared(one, asked.get(source), mixture, whole.tokens * stretch, phase)
        for name in sources[source]:
            if stratum := name.partition("/")[2]:
                yield _line(made[name], whole, spec.unit, length, before, source, stratum)


def _line(
    part: Part,
    whole: Part,
    unit: Unit,
    length: int,
    before: Epochs,
    source: str,
    stratum: str = "",
) -> SourceLine:
    return SourceLine(
        source=source,
        stratum=stratum,
        samples=part.got.samples,
        tokens=int(part.tokens),
        share=part.got.amount(unit) / whole.got.amount(unit),
        unique_tokens=part.got.unique_tokens,
        epochs=part.epochs,
        epochs_so_far=part.epochs + before.get((source, stratum), 0),
        layouts=part.layouts,
        padding=1 - part.tokens / (part.got.samples * length) if part.got.samples else Fraction(0),
        splits=part.splits,
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
    spent = left is not None and left < phase.sequence_length * len(supplies_of(phase))
    missing = int(asked.share * tokens) - line.tokens if spent else 0
    return replace(line, asked=asked.text, share_asked=asked.share, shortfall=max(0, missing))


def _shrunk(mixture: Mixture, phase: Phase) -> Fraction:
    """How many times the phase's budget is what it got, where it was shrunk to fit; else 1."""
    budget = budget_of(mixture, phase.name)
    if mixture.phase(phase.name).on_cap is not OnCap.SHRINK or budget is None:
        return Fraction(1)
    return max(Fraction(1), Fraction(budget, phase.samples * phase.sequence_length))
