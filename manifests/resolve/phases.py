"""A mixture's phases in whole numbers: each goes on from where the one before it stopped.

A change ends a segment at a step and begins another; what came before keeps its plan and so its
order. From a change on, the phase and all that follow it draw on what was selected after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.errors import ConfigError
from manifests.resolve.account import LeafAccount, account, summed
from manifests.resolve.demand import demands, remaining
from manifests.resolve.segment import Opened, Opening, open_segment
from manifests.resolve.setting import Setting, Terms, Version
from manifests.resolve.state import State, chain_to, state_after
from manifests.resolve.types import Phase
from manifests.resolve.usage import Usage, cut, left_of_plan, used
from manifests.resolve.versions import Versions
from manifests.spec.mixes import ancestors
from manifests.spec.types import Change, Mixture, PhaseSpec

__all__ = ["LeafAccount", "Rebased", "Version", "rebase", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased:
    """All phases after a change, and what it costs."""

    phases: tuple[Phase, ...]
    account: tuple[LeafAccount, ...]
    """By leaf name."""

    @property
    def total(self) -> LeafAccount:
        """Of all leaves."""
        return summed(self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changed:
    """A phase after a change, or anew."""

    phase: Phase
    opened: Opened
    state: State
    """Where the change happened."""
    had: Mapping[str, Usage]
    """What the phase trained on before it, by leaf."""


def resolve(mixture: Mixture, versions: Sequence[Version]) -> tuple[Phase, ...]:
    """All phases; `versions` has the first selection and one more for each change.

    Raises:
        ConfigError: Budgets, shares and caps do not fit what there is; says which, and the remedy.
    """
    done: dict[str, Phase] = {}
    held = Versions(dict(enumerate(versions)))
    for spec in mixture.phases:
        setting = _setting(mixture, held.begin(spec.name, spec.after), done)
        done[spec.name] = _whole(setting, spec, held)
    return tuple(done.values())


def rebase(
    phases: Sequence[Phase],
    mixture: Mixture,
    name: str,
    step: int,
    version: Version,
    later: Mapping[int, Version] | None = None,
) -> Rebased:
    """The phases, where `name` goes on from `step` as the (edited) mixture has it now.

    Of the mixture's changes, those up to `step` say what holds there, and those after it are made
    after it; what the manifest had planned from `step` on is void. Phases that `name` does not
    lead to stay as they are; those that follow it are resolved anew. At step 0 nothing of the phase
    is over, and it is resolved anew too. `version` is what there is at the step, `later` what is
    left from a change on, by its number from 1.

    Raises:
        ConfigError: As `resolve`; or no such phase, or step; or it would have other windows.
    """
    before = {phase.name: phase for phase in phases}
    if name not in before or name not in [phase.name for phase in mixture.phases]:
        raise ConfigError(
            f"phase {name}: not in both the manifest and the spec; the manifest's phases are"
            f" {', '.join(before)}"
        )
    done: dict[str, Phase] = {}
    found: tuple[LeafAccount, ...] = ()
    held = Versions({0: version, **(later or {})})
    for spec in mixture.phases:
        follows = spec.name not in before or name in ancestors(mixture, spec)
        begin = held.begin(spec.name, spec.after if follows else None)
        setting = _setting(mixture, begin, done)
        if spec.name == name:
            done[name], found = _rebased(setting, spec, before[name], step, held)
        elif follows:
            done[spec.name] = _whole(setting, spec, held)
        else:
            done[spec.name] = before[spec.name]
    return Rebased(phases=tuple(done.values()), account=found)


def _setting(mixture: Mixture, version: Version, done: Mapping[str, Phase]) -> Setting:
    return Setting(mixture=mixture, version=version, done=done)


def _changes(mixture: Mixture, name: str) -> list[tuple[int, Change]]:
    """The changes of a phase, with their numbers from 1 on."""
    return [(n, change) for n, change in enumerate(mixture.changes, 1) if change.phase == name]


def _whole(setting: Setting, spec: PhaseSpec, held: Versions) -> Phase:
    """A phase with all its changes."""
    phase, terms = _first(setting, spec).phase, Terms(spec=spec)
    for number, change in _changes(setting.mixture, spec.name):
        then = replace(setting, version=held.change(spec.name, number))
        phase, terms = _follow(then, terms, change, phase)
    return phase


def _first(setting: Setting, spec: PhaseSpec) -> _Changed:
    """A phase without its changes."""
    rest = None if spec.tokens is None else Fraction(spec.tokens, spec.sequence_length)
    state = state_after(chain_to(setting.done.values(), spec.after))
    opening = Opening(rest=rest, state=state)
    opened = open_segment(setting, spec, demands(setting, spec), opening)
    phase = Phase(
        name=spec.name,
        after=spec.after,
        sequence_length=spec.sequence_length,
        segments=(opened.segment,),
        train=dict(spec.train),
    )
    return _Changed(phase=phase, opened=opened, state=state, had={})


def _follow(setting: Setting, terms: Terms, change: Change, phase: Phase) -> tuple[Phase, Terms]:
    """The phase and its terms after the next change of its spec."""
    step = _step_of(phase, change)
    if step <= phase.segments[-1].first_step:
        raise ConfigError(
            f"phase {phase.name}: a change at step {step:,} is not after step"
            f" {phase.segments[-1].first_step:,}, where what it changes begins; give changes in"
            " the order in which they happen"
        )
    terms = terms.after(change, step, phase)
    return _go_on(setting, terms, phase, step).phase, terms


def _rebased(
    setting: Setting, spec: PhaseSpec, phase: Phase, step: int, held: Versions
) -> tuple[Phase, tuple[LeafAccount, ...]]:
    """The phase that goes on from a step under the spec as it is now; and what that costs."""
    if not step:
        return _whole(setting, spec, held), _account(setting.version, _first(setting, spec))
    for what, was, now in (
        ("sequence_length", phase.sequence_length, spec.sequence_length),
        ("after", phase.after, spec.after),
    ):
        if was != now:
            raise ConfigError(
                f"phase {spec.name}: its {what} is {was} and cannot become {now} on the way; begin"
                " a new phase after it"
            )
    terms = Terms(spec=spec)
    changes = _changes(setting.mixture, spec.name)
    for _, change in changes:
        if (at := _step_of(phase, change)) <= step:
            terms = terms.after(change, at, phase)
    changed = _go_on(setting, terms, replace(phase, train=dict(spec.train)), step)
    after = changed.phase
    for number, change in changes:
        if _step_of(phase, change) > step:
            then = replace(setting, version=held.change(spec.name, number))
            after, terms = _follow(then, terms, change, after)
    return after, _account(setting.version, changed)


def _account(version: Version, changed: _Changed) -> tuple[LeafAccount, ...]:
    starts, state, had = changed.opened.starts, changed.state, changed.had
    if version.holes is None:
        raise ValueError("a phase can only go on under a version that knows what is gone")
    return tuple(
        account(leaf, had.get(leaf, Usage()), state.get(leaf), starts.get(leaf), version.holes)
        for leaf in sorted(starts.keys() | had.keys())
    )


def _go_on(setting: Setting, terms: Terms, phase: Phase, step: int) -> _Changed:
    """The phase cut at a step, and going on under other terms."""
    spec = terms.spec
    if not 0 < step <= phase.steps:
        raise ConfigError(
            f"phase {phase.name}: cannot change at step {step:,}: it has {phase.steps:,}, and a"
            " change has to leave at least the first as it is"
        )
    kept = cut(phase.segments, step)
    position = kept[-1].stop
    rest = None
    if spec.tokens is not None:
        rest = Fraction(spec.tokens, spec.sequence_length) - position
        if rest <= 0:
            raise ConfigError(
                f"phase {phase.name}: at step {step:,} it has trained on"
                f" {position * spec.sequence_length:,} tokens, and its budget is {spec.tokens:,};"
                " raise tokens, or change it earlier"
            )
    under_mix = [segment for segment in kept if segment.first_step >= terms.since]
    had = used(under_mix)
    asked = remaining(demands(setting, spec), had, left_of_plan(under_mix))
    before = replace(phase, segments=kept)
    state = state_after([*chain_to(setting.done.values(), phase.after), before])
    in_phase = used(kept)
    opening = Opening(
        position=position, step=step, rest=rest, state=state, under_mix=had, in_phase=in_phase
    )
    opened = open_segment(setting, spec, asked, opening)
    return _Changed(
        phase=replace(before, segments=(*kept, opened.segment)),
        opened=opened,
        state=state,
        had=in_phase,
    )


def _step_of(phase: Phase, change: Change) -> int:
    """The step at which a change happens; past the phase's end it counts on with its last batch."""
    if change.step is not None:
        return change.step
    samples = -(-(change.tokens or 0) // phase.sequence_length)
    at = next((s for s in reversed(phase.segments) if s.start < samples), phase.segments[0])
    return at.first_step - (at.start - samples) // at.global_batch
