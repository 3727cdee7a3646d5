"""One phase in whole numbers: its first segment, and what changes make of it.

A change cuts the phase at a step; what lies before keeps its plan, and so its order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.errors import ConfigError
from manifests.resolve.demand import demands, remaining
from manifests.resolve.segment import Opened, Opening, open_segment
from manifests.resolve.setting import Setting, Terms
from manifests.resolve.state import State, chain_to, state_after
from manifests.resolve.types import Phase
from manifests.resolve.usage import Usage, cut, left_of_plan, used
from manifests.spec.types import Change, PhaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A phase after a change, or anew."""

    phase: Phase
    opened: Opened
    state: State
    """Where the change happened."""
    had: Mapping[str, Usage]
    """What the phase trained on before it, by leaf."""


def first(setting: Setting, spec: PhaseSpec) -> Changed:
    """A phase without its changes.

    Raises:
        ConfigError: What it asks for does not fit what there is.
    """
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
    return Changed(phase=phase, opened=opened, state=state, had={})


def follow(setting: Setting, terms: Terms, change: Change, phase: Phase) -> tuple[Phase, Terms]:
    """The phase and its terms after the next change of its spec.

    Raises:
        ConfigError: It is not after the one before; or as `go_on`.
    """
    step = step_of(phase, change)
    if step <= phase.segments[-1].first_step:
        raise ConfigError(
            f"phase {phase.name}: a change at step {step:,} is not after step"
            f" {phase.segments[-1].first_step:,}, where what it changes begins; give changes in"
            " the order in which they happen"
        )
    terms = terms.after(change, step, phase)
    return go_on(setting, terms, phase, step).phase, terms


def go_on(setting: Setting, terms: Terms, phase: Phase, step: int) -> Changed:
    """The phase cut at a step, and going on under other terms.

    Raises:
        ConfigError: No such step, or the budget is over by then; or what is asked does not fit.
    """
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
    return Changed(
        phase=replace(before, segments=(*kept, opened.segment)),
        opened=opened,
        state=state,
        had=in_phase,
    )


def step_of(phase: Phase, change: Change) -> int:
    """The step at which a change happens; past the phase's end it counts on with its last batch."""
    if change.step is not None:
        return change.step
    samples = -(-(change.tokens or 0) // phase.sequence_length)
    at = next((s for s in reversed(phase.segments) if s.start < samples), phase.segments[0])
    return at.first_step - (at.start - samples) // at.global_batch
