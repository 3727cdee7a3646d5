"""The rules of one mix: who is in it, and that the amounts make a whole."""

from collections.abc import Sequence
from fractions import Fraction

from manifests.spec.form import Place, nearest
from manifests.spec.quantities import percent
from manifests.spec.types import Entry, Mixture, PhaseSpec


def ancestors(mixture: Mixture, phase: PhaseSpec) -> list[str]:
    """The phases that a phase goes on from, the nearest first."""
    found: list[str] = []
    while phase.after:
        found.append(phase.after)
        phase = mixture.phase(phase.after)
    return found


def check_mix(mixture: Mixture, phase: PhaseSpec, mix: Sequence[Entry], place: Place) -> None:
    """Pass if every entry names something, and the amounts fit together.

    Raises:
        ConfigError: The first thing that does not.
    """
    if not mix:
        raise place.error('is empty; give it at least one source, as in web = "100%"')
    for entry in mix:
        if entry.recall:
            _recall(mixture, phase, entry, place)
        else:
            _source(mixture, entry, place)
    _amounts(mix, place)


def _source(mixture: Mixture, entry: Entry, place: Place) -> None:
    names = [source.name for source in mixture.sources]
    if entry.name not in names:
        hint = nearest(entry.name, names, "the sources are")
        raise place.at(entry.name).error(f"no source of this name; {hint}")


def _recall(mixture: Mixture, phase: PhaseSpec, entry: Entry, place: Place) -> None:
    at = place.at(entry.name, "recall")
    earlier = ancestors(mixture, phase)
    if entry.recall not in earlier:
        names = ", ".join(earlier) or "none; give the phase after = ..."
        raise at.error(
            f"{entry.recall} is no phase that {phase.name} goes on from; those are: {names}"
        )
    if any(source.name == entry.name for source in mixture.sources):
        raise place.at(entry.name).error(
            f"recalls a phase under the name of a source; call it recall_{entry.recall}, say"
        )


def _amounts(mix: Sequence[Entry], place: Place) -> None:
    shares = [entry.share for entry in mix if entry.share is not None]
    if not shares:
        return
    for entry in mix:
        if entry.share is None:
            shared = next(e.name for e in mix if e.share is not None)
            raise place.at(entry.name).error(
                f"has no share, but {shared} has; shares are of the whole phase: give every entry "
                "a share, or none and use weight for the rest"
            )
    if (total := sum(shares, Fraction())) != 1:
        raise place.error(
            f"the shares sum to {percent(total)}, not 100 %; correct them, or use "
            "{ weight = ... }, which needs no sum"
        )


def is_relative(entry: Entry) -> bool:
    """Whether it is a part of something, and no amount by itself."""
    return entry.share is not None or entry.weight is not None


def check_budget(phase: PhaseSpec, place: Place) -> None:
    """Pass if tokens and mix leave no doubt how long the phase is.

    Raises:
        ConfigError: They contradict each other, or say nothing.
    """
    relative = [entry.name for entry in phase.mix if is_relative(entry)]
    if phase.tokens is None:
        if relative:
            raise place.error(
                f"tokens is missing, and {relative[0]} takes a part of it; write tokens = "
                '"10B", or give every entry tokens or epochs'
            )
        return
    if not relative:
        raise place.error(
            "every entry says how much it gives, and so does tokens; leave tokens out, or give one "
            "entry a weight for the rest"
        )
    asked = sum(entry.tokens or 0 for entry in phase.mix)
    if asked >= phase.tokens:
        raise place.error(
            f"the entries ask for {asked:,} tokens, which leaves nothing of {phase.tokens:,} for "
            f"{relative[0]}; raise tokens"
        )
