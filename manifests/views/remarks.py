"""What a person should notice about a mixture before training on it; each one line."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from manifests.objects.root import Root
from manifests.resolve.types import Phase
from manifests.spec.types import Layout, Mixture, OnCap, PhaseSpec
from manifests.views.parts import supplies_of
from manifests.views.phases import PhaseLines, SourceLine

MANY_EPOCHS = 4
"""Up to here repeated tokens are almost as good as new ones [RW: Muennighoff et al. 2023,
arXiv:2305.16264]."""
MUCH_PADDING = Fraction(1, 4)
"""Of the positions of a source's samples."""
NOTABLE = Fraction(1, 100)
"""Of what was asked for, or of a source: less is not worth a line."""


def remarks(root: Root, mixture: Mixture, phases: Sequence[PhaseLines]) -> tuple[str, ...]:
    """All there are, those of a phase together."""
    found: list[str] = list(_repeated(phases))
    for lines, phase in zip(phases, root.phases, strict=True):
        spec = mixture.phase(phase.name)
        found += _rounded(lines, spec, phase)
        found += [_short(one, lines, spec) for one in lines.sources if one.shortfall]
        found += _absent(lines, spec)
        found += _recalled_twice(spec, phases)
        found += _unread(root, phase)
        found += _padded(lines, phase)
    return tuple(found)


def _repeated(phases: Sequence[PhaseLines]) -> Iterator[str]:
    """Sources; and strata of sources that are not passed over that often themselves."""
    most: dict[str, tuple[Fraction, str]] = {}
    for lines in phases:
        for one in lines.sources:
            name = f"{one.source}/{one.stratum}" if one.stratum else one.source
            most[name] = max(most.get(name, (Fraction(0), "")), (one.epochs_so_far, lines.name))
    many = {name for name, (epochs, _) in most.items() if epochs > MANY_EPOCHS}
    for name, (epochs, phase) in most.items():
        source = name.partition("/")[0]
        if name in many and (name == source or source not in many):
            yield (
                f"{name} is passed over {float(epochs):.1f} times by the end of {phase}; beyond"
                f" about {MANY_EPOCHS}, repeated tokens teach less and less"
            )


def _rounded(lines: PhaseLines, spec: PhaseSpec, phase: Phase) -> Iterator[str]:
    asked = lines.tokens_asked
    if asked is None:
        return
    off = phase.samples * phase.sequence_length - asked
    if off < 0 and spec.on_cap is OnCap.SHRINK:
        yield f"{phase.name} is shrunk by {-off:,} of {asked:,} tokens, so that no source is capped"
    elif abs(off) > NOTABLE * asked:
        more = "more" if off > 0 else "fewer"
        yield (
            f"{phase.name} has {abs(off):,} tokens {more} than asked for, because it is made of"
            f" whole steps of {phase.segments[-1].global_batch * phase.sequence_length:,}"
        )


def _short(one: SourceLine, lines: PhaseLines, spec: PhaseSpec) -> str:
    why = "the others share them" if spec.on_cap is OnCap.REDISTRIBUTE else "the phase is shrunk"
    return (
        f"{one.source} gives {one.shortfall:,} tokens less than asked for in {lines.name}: its"
        f" max_epochs of {float(one.max_epochs or 0):g} are used up, and {why}"
    )


def _absent(lines: PhaseLines, spec: PhaseSpec) -> Iterator[str]:
    there = {one.source for one in lines.sources if one.samples and not one.stratum}
    for entry in spec.mix:
        if not entry.recall and entry.name not in there and len(lines.segments) == 1:
            yield f"{entry.name} is in the mix of {lines.name} and has not one sample there"


def _recalled_twice(spec: PhaseSpec, phases: Sequence[PhaseLines]) -> Iterator[str]:
    """Sources that come into a phase by two entries."""
    sources = {lines.name: {one.source for one in lines.sources} for lines in phases}
    seen: dict[str, str] = {}
    for entry in spec.mix:
        for source in sorted(sources[entry.recall]) if entry.recall else [entry.name]:
            if source in seen:
                yield (
                    f"{source} comes into {spec.name} twice, by {seen[source]} and by {entry.name};"
                    " it goes on through its samples once, with both amounts together"
                )
            seen[source] = entry.name


def _unread(root: Root, phase: Phase) -> Iterator[str]:
    """Leaves of which no epoch reads a notable part: tokens that fill no whole window."""
    tokens = {leaf.name: leaf.tokens for leaf in root.leaves}
    used = {one.leaf: one.body for one in supplies_of(phase)}
    for name, body in sorted(used.items()):
        left = tokens.get(name, 0) - body.tokens
        if body.layout is Layout.STREAM and left > NOTABLE * tokens.get(name, 0):
            yield (
                f"{left:,} of the {tokens[name]:,} tokens of {name} fill no window of"
                f" {phase.sequence_length:,} in {phase.name}; a shorter sequence_length loses fewer"
            )


def _padded(lines: PhaseLines, phase: Phase) -> Iterator[str]:
    """Sources of which much of every window is padding, though their documents could share it."""
    if phase.train.get("loss") in ("dpo", "pivotal"):
        return  # a pair has a window of its own
    for one in lines.sources:
        if not one.stratum and Layout.DOCUMENT in one.layouts and MUCH_PADDING < one.padding < 1:
            times = 1 / (1 - one.padding)
            yield (
                f"{float(one.padding):.0%} of the positions of {one.source} in {lines.name} are"
                f" padding: its {one.samples:,} samples take {float(times):.1f} times the steps of"
                f' full windows; layout = "packed" fills them'
            )
