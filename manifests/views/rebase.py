"""What a manifest loses and gains by going on under another mixture, source by source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from manifests.build.rebase import Point, Rebased
from manifests.objects.manifest import Manifest
from manifests.objects.root import Root
from manifests.resolve.account import LeafAccount
from manifests.resolve.types import Phase, source_of
from manifests.resolve.usage import cut, used
from manifests.spec.types import Mixture
from manifests.views.phases import phase_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccount:
    """A source. Tokens are useful ones, and of the epochs that had begun at the step."""

    source: str
    consumed: int
    going_on: int
    skipped: int
    """Not to come: removed, or the mix is without the source."""
    repeated: int
    """Trained on already, and again in an epoch that begins anew."""
    lost: int
    """Neither to come nor skipped: 0."""
    share_before: Fraction
    """Of what was still to come after the step."""
    share: Fraction
    """Of what is now."""
    epochs_before: Fraction
    """By the end of the phase, those of the phases before it too."""
    epochs: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseView:
    """A manifest before and after."""

    phase: str
    step: int
    steps_before: int
    steps: int
    tokens_over: int
    """Trained on in the phase before the step."""
    unchanged: bool
    sources: tuple[SourceAccount, ...]
    anew: tuple[str, ...]
    """Phases that are resolved anew."""
    taken_down: int
    """Records that are removed from here on."""
    remarks: tuple[str, ...]


def rebase_view(before: Manifest, made: Rebased, mixture: Mixture, at: Point) -> RebaseView:
    """The account of a manifest that goes on from `at` under this mixture."""
    was = before.phase(at.phase)
    now = next(phase for phase in made.root.phases if phase.name == at.phase)
    over = used(cut(was.segments, at.step))
    return RebaseView(
        phase=at.phase,
        step=at.step,
        steps_before=was.steps,
        steps=now.steps,
        tokens_over=int(sum((usage.tokens for usage in over.values()), Fraction())),
        unchanged=made.unchanged,
        sources=() if made.unchanged else _sources(before, made, mixture, at, (was, now)),
        anew=made.anew,
        taken_down=made.taken_down,
        remarks=tuple(_remarks(before, made)),
    )


def _sources(
    before: Manifest, made: Rebased, mixture: Mixture, at: Point, phases: tuple[Phase, Phase]
) -> tuple[SourceAccount, ...]:
    accounts: dict[str, list[LeafAccount]] = {}
    for leaf in made.account:
        accounts.setdefault(source_of(leaf.leaf), []).append(leaf)
    shares_before, shares = (_shares(phase, at.step) for phase in phases)
    epochs_before = _epochs(before.root, before.mixture, at.phase)
    epochs = _epochs(made.root, mixture, at.phase)
    return tuple(
        SourceAccount(
            source=source,
            consumed=sum(leaf.consumed_tokens for leaf in accounts.get(source, [])),
            going_on=sum(leaf.going_on_tokens for leaf in accounts.get(source, [])),
            skipped=sum(leaf.skipped_tokens for leaf in accounts.get(source, [])),
            repeated=sum(leaf.repeated_tokens for leaf in accounts.get(source, [])),
            lost=sum(leaf.lost_tokens for leaf in accounts.get(source, [])),
            share_before=shares_before.get(source, Fraction()),
            share=shares.get(source, Fraction()),
            epochs_before=epochs_before.get(source, Fraction()),
            epochs=epochs.get(source, Fraction()),
        )
        for source in sorted(accounts.keys() | shares_before.keys() | shares.keys())
    )


def _shares(phase: Phase, step: int) -> Mapping[str, Fraction]:
    """Of each source in the tokens from the step on."""
    whole, over = used(phase.segments), used(cut(phase.segments, step))
    found: dict[str, Fraction] = {}
    for leaf, usage in whole.items():
        rest = usage.tokens - (over[leaf].tokens if leaf in over else 0)
        found[source_of(leaf)] = found.get(source_of(leaf), Fraction()) + rest
    total = sum(found.values(), Fraction())
    return {source: tokens / total for source, tokens in found.items()} if total else {}


def _epochs(root: Root, mixture: Mixture, phase: str) -> dict[str, Fraction]:
    (lines,) = [line for line in phase_lines(root, mixture) if line.name == phase]
    return {one.source: one.epochs_so_far for one in lines.sources if not one.stratum}


def _remarks(before: Manifest, made: Rebased) -> Iterable[str]:
    if made.unchanged:
        return
    for name in made.kept:
        yield f"{name} stays as it was, and the spec has it otherwise; build the spec to change it"
    there = {phase.name for phase in made.root.phases}
    for phase in before.root.phases:
        if phase.name not in there:
            yield f"{phase.name} is not in the spec any more, and goes"
    if made.lifted:
        yield f"{made.lifted:,} records that were removed before are not removed by the spec"
