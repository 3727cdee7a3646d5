"""How a manifest looks in a terminal."""

from collections.abc import Sequence
from fractions import Fraction

from manifests.cli.text import bar, decimal, percent, plural, short, table, warn
from manifests.views.manifest import ManifestView
from manifests.views.phases import PhaseLines, SourceLine

_SOURCES = (
    *("source", "", "share", "asked", "as share", "tokens", "samples", "unique", "epochs"),
    *("so far", "at most", "short of", "layout", "padding", "split"),
)


def manifest_text(view: ManifestView, phases: Sequence[PhaseLines]) -> list[str]:
    """What it is made of, these phases of it, and what to notice."""
    lines = [_head(view), ""]
    for phase in phases:
        lines += [*phase_text(phase), ""]
    notices = [warn(remark) for remark in view.remarks]
    return [*lines, *notices] if notices else lines[:-1]


def _head(view: ManifestView) -> str:
    shards = sum(leaf.shards for leaf in view.leaves)
    documents = sum(leaf.documents for leaf in view.leaves)
    tokens = sum(leaf.tokens for leaf in view.leaves)
    return (
        f"{view.name}: {plural(shards, 'shard')}, {plural(documents, 'document')},"
        f" {short(tokens)} tokens by {view.tokenizer}; seed {view.seed}"
    )


def phase_text(phase: PhaseLines) -> list[str]:
    """A phase and its sources."""
    rows = [_row(one, phase) for one in phase.sources]
    lines = table(_SOURCES, [*rows, _total(phase)], left=(0, 1))
    if len(phase.segments) > 1:
        lines += ["", *_segments(phase)]
    return [*_phase_head(phase), *(f"  {line}" for line in lines)]


def _phase_head(phase: PhaseLines) -> list[str]:
    after = f" after {phase.after}" if phase.after else ""
    batches = sorted({segment.global_batch for segment in phase.segments})
    asked = f", asked for {short(phase.tokens_asked)}" if phase.tokens_asked else ""
    padding = f", {percent(phase.padding)} padding" if phase.padding else ""
    steps = plural(phase.steps, "step")
    return [
        f"phase {phase.name}{after}: {short(phase.tokens)} tokens{asked}; {steps}"
        f" of {' or '.join(f'{batch:,}' for batch in batches)} samples of"
        f" {phase.sequence_length:,} tokens ({', '.join(phase.layouts)}{padding})"
    ]


def _row(one: SourceLine, phase: PhaseLines) -> tuple[str, ...]:
    return (
        f"  {one.stratum}" if one.stratum else one.source,
        "" if one.stratum else bar(one.share),
        percent(one.share),
        one.asked,
        "" if one.share_asked is None else percent(one.share_asked),
        short(one.tokens),
        f"{one.samples:,}",
        short(one.unique_tokens),
        _epochs(one.epochs),
        _epochs(one.epochs_so_far) if phase.after else "",
        "" if one.max_epochs is None else _epochs(one.max_epochs),
        short(one.shortfall) if one.shortfall else "",
        ", ".join(one.layouts) if len(phase.layouts) > 1 else "",
        percent(one.padding) if one.padding else "",
        short(one.splits) if one.splits else "",
    )


def _total(phase: PhaseLines) -> tuple[str, ...]:
    whole = [one for one in phase.sources if not one.stratum]
    share = sum((one.share for one in whole), Fraction(0))
    unique = short(sum(one.unique_tokens for one in whole))
    numbers = (short(phase.tokens), f"{phase.samples:,}", unique)
    padding = percent(phase.padding) if phase.padding else ""
    return ("total", "", percent(share), "", "", *numbers, "", "", "", "", "", padding, "")


def _epochs(number: Fraction) -> str:
    return decimal(number, 2)


def _segments(phase: PhaseLines) -> list[str]:
    """The stretches between changes of the mix, with shares of samples."""
    names = sorted({name for segment in phase.segments for name in segment.shares})
    rows = [
        (
            f"{segment.first_step:,}",
            f"{segment.steps:,}",
            f"{segment.global_batch:,}",
            *(percent(segment.shares.get(name, Fraction(0))) for name in names),
        )
        for segment in phase.segments
    ]
    return table(("from step", "steps", "batch", *names), rows, left=())
