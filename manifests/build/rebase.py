"""A manifest that is being trained on goes on under another mixture from some step.

What came before the step stays as it was, object for object: the new root refers to the old
tables, and its first segments are the old ones. What is selected now begins where the old epochs
are over; what was taken out of them is left out of what remains of them.
"""

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from manifests.build.build import Data, assemble, kept_ids, without
from manifests.build.holes import GoneSamples
from manifests.build.overlap import refuse_overlap
from manifests.build.supplies import Selected, cuts_of
from manifests.errors import ConfigError, NotInStore
from manifests.objects.manifest import Manifest, needed, write_root
from manifests.objects.root import Descriptor, Root
from manifests.objects.tree import Objects
from manifests.resolve.account import LeafAccount
from manifests.resolve.phases import Version
from manifests.resolve.phases import rebase as rebased_phases
from manifests.resolve.types import ORDER, Phase, Segment
from manifests.resolve.usage import cut
from manifests.select.selection import SelectedLeaf, SourceProgress, select
from manifests.select.window_counts import WindowCounts
from manifests.spec.mixes import ancestors
from manifests.spec.types import Mixture
from manifests.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a manifest goes on otherwise."""

    phase: str
    step: int
    """The first that may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased:
    """What a manifest became."""

    root: Root
    digest: str
    unchanged: bool
    """Whether it is the manifest that was there before."""
    account: tuple[LeafAccount, ...]
    """By leaf."""
    kept: tuple[str, ...]
    """Phases that stay as they were, although the mixture has them otherwise now."""
    anew: tuple[str, ...]
    """Phases that were resolved anew, because the changed one leads to them or they are new."""
    taken_down: int
    """Records that were not removed before, and are now."""
    lifted: int
    """Records that were removed before, and are not any more."""


def rebase(
    store: Store,
    manifest: Manifest,
    mixture: Mixture,
    at: Point,
    objects: Objects,
    progress: SourceProgress | None = None,
) -> Rebased:
    """The manifest, going on from a step under this mixture over what is committed now.

    `objects` sees those of the manifest, and takes the new ones.

    Raises:
        ConfigError: The mixture does not fit what is committed, or what was trained on so far; or
            there is no such step.
        DataError: Something committed, or the manifest, is broken.
    """
    refuse_other_orders(manifest, mixture, at)
    try:
        leaves = without(store, select(store, mixture, progress), mixture.remove)
        data = Data(leaves=leaves, parents=(manifest.digest,))
        return go_on(store, manifest, mixture, at, data, objects)
    except NotInStore as error:
        raise NotInStore(
            f"{error}; put it back from a copy, or, if it is a shard, leave its step out of the"
            " sources: what is left of it in an epoch is then skipped"
        ) from error


def refuse_other_orders(manifest: Manifest, mixture: Mixture, at: Point) -> None:
    """Raise ConfigError where what was trained on so far would not stay as it was."""
    root, name = manifest.root, f"{manifest.root.name} (sha256:{manifest.digest[:12]})"
    phases = {phase.name: phase for phase in root.phases}
    if at.phase not in phases:
        raise ConfigError(f"{name} has no phase {at.phase}; it has {', '.join(phases)}")
    steps = phases[at.phase].steps
    if not 0 <= at.step <= steps:
        raise ConfigError(
            f"{name}: phase {at.phase} has {steps:,} steps and cannot go on otherwise at step"
            f" {at.step:,}; give one from 0 to {steps:,}, or let a new phase follow it"
        )
    for what, was, now in (
        ("seed", root.seed, mixture.seed),
        ("tokenizer", root.tokenizer.name, mixture.tokenizer.name),
        ("end_of_document", root.tokenizer.end_of_document, mixture.tokenizer.end_of_document),
    ):
        if was != now:
            raise ConfigError(
                f"{name}: its {what} is {was}, and the spec's is {now}; what was trained on would"
                f" not stay as it was: write {was}, or build the spec for a new run"
            )
    if root.order != ORDER:
        raise ConfigError(
            f"{name}: its order is {root.order!r}, and this version computes {ORDER!r}; go on with"
            " the version that built it"
        )


def go_on(
    store: Store,
    manifest: Manifest,
    mixture: Mixture,
    at: Point,
    data: Data,
    objects: Objects,
) -> Rebased:
    """As `rebase`, over data that somebody chose."""
    earlier = {found.digest: found for found in needed(manifest.root)}
    written: ChainMap[str, Descriptor] = ChainMap({}, earlier)
    counts, cuts = WindowCounts(store), cuts_of(mixture)

    def version(leaves: Sequence[SelectedLeaf]) -> tuple[Selected, Version]:
        now = Selected(counts, objects, leaves, cuts)
        written.maps.insert(1, now.written)
        holes = GoneSamples(store, objects, mixture.seed, now, written)
        return now, Version(supplies=now, holes=holes)

    over = _over(manifest, mixture, at)
    done = [removal for number in over for removal in mixture.changes[number - 1].remove]
    leaves = without(store, data.leaves, done)
    now, first = version(leaves)
    anew = _anew(manifest, mixture, at)
    going_on = tuple(phase for phase in mixture.phases if phase.name in (at.phase, *anew))
    refuse_overlap(replace(mixture, phases=going_on), now)
    later: dict[int, Version] = {}
    for number, change in enumerate(mixture.changes, 1):
        if number not in over:
            leaves = without(store, leaves, change.remove)
            now, later[number] = version(leaves)
    made = rebased_phases(manifest.root.phases, mixture, at.phase, at.step, first, later)
    root = assemble(objects, mixture, made.phases, now, written, data)
    same = _same(manifest.root, root, at)
    was, ids = set(kept_ids(manifest.objects, manifest.root)), set(kept_ids(objects, root))
    return Rebased(
        root=manifest.root if same else root,
        digest=manifest.digest if same else write_root(objects, root),
        unchanged=same,
        account=made.account,
        kept=_kept(manifest, mixture, at, anew),
        anew=() if same else tuple(anew),
        taken_down=len(ids - was),
        lifted=len(was - ids),
    )


def _over(manifest: Manifest, mixture: Mixture, at: Point) -> list[int]:
    """Numbers of the changes that lie before the step: those of its phase, and of what is listed
    before that.
    """
    phase = manifest.phase(at.phase)
    before_it = cut(phase.segments, at.step)
    tokens = before_it[-1].stop * phase.sequence_length if before_it else 0
    names = [spec.name for spec in mixture.phases]
    before = set(names[: names.index(at.phase)]) if at.phase in names else set()
    return [
        number
        for number, change in enumerate(mixture.changes, 1)
        if change.phase in before
        or (
            change.phase == at.phase
            and (change.step if change.step is not None else at.step) <= at.step
            and (change.tokens or 0) <= tokens
        )
    ]


def _anew(manifest: Manifest, mixture: Mixture, at: Point) -> list[str]:
    """Phases that follow the changed one, and those that the manifest does not have."""
    had = {phase.name for phase in manifest.root.phases}
    return [
        phase.name
        for phase in mixture.phases
        if phase.name not in had or at.phase in ancestors(mixture, phase)
    ]


def _kept(manifest: Manifest, mixture: Mixture, at: Point, anew: Sequence[str]) -> tuple[str, ...]:
    """Phases that stay, and that the two specs have differently."""
    was = {phase.name: _said(manifest.mixture, phase.name) for phase in manifest.mixture.phases}
    return tuple(
        phase.name
        for phase in mixture.phases
        if phase.name not in (at.phase, *anew) and was[phase.name] != _said(mixture, phase.name)
    )


def _said(mixture: Mixture, name: str) -> object:
    """All that a spec says of a phase."""
    return mixture.phase(name), [c for c in mixture.changes if c.phase == name]


def _same(was: Root, now: Root, at: Point) -> bool:
    """Whether nothing changes: the same spec over the same data, and nothing else was planned."""
    if (was.spec, was.leaves, was.removed) != (now.spec, now.leaves, now.removed):
        return False
    planned, made = ([_after(phase, at) for phase in root.phases] for root in (was, now))
    return planned == made


def _after(phase: Phase, at: Point) -> object:
    """How a phase goes on after the step, but for where its supplies are cut in two."""
    if phase.name != at.phase:
        return phase.name, [(s.start, s.stop) for s in phase.segments]
    later = [s for s in phase.segments if s.first_step + _steps(s) > at.step]
    return phase.samples, [max(s.first_step, at.step) for s in later]


def _steps(segment: Segment) -> int:
    return (segment.stop - segment.start) // segment.global_batch
