"""What must hold between the entries of a mixture, each as one line that says what to change."""

from collections.abc import Iterator, Sequence

from manifests.spec.changes import check_changes
from manifests.spec.form import Place, nearest
from manifests.spec.mixes import check_budget, check_mix
from manifests.spec.types import Entry, Layout, Mixture, PhaseSpec, Removal


def in_order(phases: Sequence[PhaseSpec], place: Place) -> tuple[PhaseSpec, ...]:
    """Each phase after the one that it follows, by name where that leaves it open.

    Raises:
        ConfigError: There is none, one follows a phase that is not there, or they go in circles.
    """
    if not phases:
        raise place.at("phases").error("is empty; write [phases.pretrain] with a mix")
    names = [phase.name for phase in phases]
    for phase in phases:
        if phase.after and phase.after not in names:
            at = place.at("phases", phase.name, "after")
            raise at.error(
                f"no phase {phase.after}; {nearest(phase.after, names, 'the phases are')}"
            )
    ordered = list(_following("", sorted(phases, key=lambda phase: phase.name)))
    if len(ordered) < len(phases):
        left = sorted(set(names) - {phase.name for phase in ordered})
        at = place.at("phases", left[0], "after")
        raise at.error(f"goes in a circle ({', '.join(left)}); let one of them follow none")
    return tuple(ordered)


def _following(name: str, phases: Sequence[PhaseSpec]) -> Iterator[PhaseSpec]:
    waiting = [name]
    while waiting:
        follows = waiting.pop()
        found = [phase for phase in phases if phase.after == follows]
        if follows:
            yield next(phase for phase in phases if phase.name == follows)
        waiting += [phase.name for phase in reversed(found)]


def check(mixture: Mixture, place: Place) -> None:
    """Pass if all of it fits together.

    Raises:
        ConfigError: The first thing that does not.
    """
    if not mixture.sources:
        raise place.at("sources").error("is empty; write [sources.web] with from = ...")
    for phase in mixture.phases:
        at = place.at("phases", phase.name)
        check_mix(mixture, phase, phase.mix, at.at("mix"))
        check_budget(phase, at)
        _apart(phase, phase.mix, at, at.at("mix"))
    check_changes(mixture, place)
    for number, change in enumerate(mixture.changes, 1):
        phase = mixture.phase(change.phase)
        at = place.at("changes", number, "mix")
        _apart(phase, change.mix, place.at("phases", phase.name), at)
    _removed(mixture, place)
    _unused(mixture, place)


def _apart(phase: PhaseSpec, mix: Sequence[Entry], at: Place, mixed: Place) -> None:
    """What a phase says of keeping documents apart, its mask and its layouts say, too.

    What is recalled comes back as it was, and a phase's `glue` is about its own sources.
    """
    causal, never = (
        phase.train.get(name) == value for name, value in (("mask", "causal"), ("glue", "never"))
    )
    if causal and never:
        raise at.at("train").error(
            'glue = "never" and mask = "causal", which lets a document see the one before it; write'
            ' mask = "document"'
        )
    for entry in mix:
        own = entry.layout or phase.layout
        packed = own is Layout.PACKED if not entry.recall else entry.layout is Layout.PACKED
        if packed and causal:
            raise at.at("train", "mask").error(
                f'is "causal", and {entry.name} has layout = "packed", whose documents are attended'
                ' alone; write mask = "document", or layout = "stream"'
            )
        if never and not entry.recall and own is Layout.STREAM:
            raise mixed.at(entry.name).error(
                f"is a stream, in which documents run on into each other, and {phase.name} has glue"
                ' = "never"; give it layout = "document" or "packed", or leave glue out'
            )


def _removed(mixture: Mixture, place: Place) -> None:
    """Sources that are removed exist, and the mix that is in force does not name them."""
    names = [source.name for source in mixture.sources]

    def known(removals: Sequence[Removal], at: Place) -> set[str]:
        for removal in removals:
            if removal.source and removal.source not in names:
                hint = nearest(removal.source, names, "the sources are")
                raise at.error(f"no source {removal.source}; {hint}")
        return {removal.source for removal in removals}

    def absent(mix: Sequence[Entry], removed: set[str], at: Place) -> None:
        for entry in mix:
            if not entry.recall and entry.name in removed:
                raise at.error(f"{entry.name} is removed and mixed; leave it out of the mix")

    never = known(mixture.remove, place.at("remove"))
    for phase in mixture.phases:
        mix, removed, at = phase.mix, set(never), place.at("phases", phase.name, "mix")
        absent(mix, removed, at)
        for number, change in enumerate(mixture.changes, 1):
            if change.phase == phase.name:
                at = place.at("changes", number)
                removed |= known(change.remove, at.at("remove"))
                mix = change.mix or mix
                absent(mix, removed, at.at("mix"))


def _unused(mixture: Mixture, place: Place) -> None:
    mixes = [
        *(phase.mix for phase in mixture.phases),
        *(change.mix for change in mixture.changes),
    ]
    used = {entry.name for mix in mixes for entry in mix if not entry.recall}
    removals = [*mixture.remove, *(r for change in mixture.changes for r in change.remove)]
    used |= {removal.source for removal in removals}
    for source in mixture.sources:
        if source.name not in used:
            raise place.at("sources", source.name).error(
                "no phase uses it; give it a place in a mix, or leave the source out"
            )
