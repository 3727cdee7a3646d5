"""A mixture's phases in whole numbers: each goes on from where the one before it stopped.

A change ends a segment at a step and begins another; what came before keeps its quotas and so its
order. From a change on, the phase and all that follow it draw on what was selected after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.errors import ConfigError
from manifests.resolve.account import LeafAccount
from manifests.resolve.budget import quotas
from manifests.resolve.demand import Demand, demands, trained
from manifests.resolve.start import dropped, start
from manifests.resolve.state import State, chain_to, state_after
from manifests.resolve.supplies import Holes, Supplies
from manifests.resolve.types import Phase, Segment, Supply
from manifests.spec.types import Change, Mixture, PhaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What there is from some point on; `holes` for all but the first."""

    supplies: Supplies
    holes: Holes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased:
    """All phases after a change, and what it costs."""

    phases: tuple[Phase, ...]
    account: tuple[LeafAccount, ...]
    """By leaf name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begin:
    """Where a segment begins, and what it has to fill."""

    position: int = 0
    step: int = 0
    rest: Fraction | None
    """Samples of the budget that are left; None: what the entries ask for."""


def resolve(mixture: Mixture, versions: Sequence[Version]) -> tuple[Phase, ...]:
    """All phases; `versions` has the first selection and one more for each change.

    Raises:
        ConfigError: Budgets, shares and caps do not fit what there is; says which, and the remedy.
    """
    done: dict[str, Phase] = {}
    used = {"": 0}
    for spec in mixture.phases:
        number = used[spec.after]
        phase = _first(mixture, spec, versions[number], done)
        for later, change in enumerate(mixture.changes, 1):
            if change.phase == spec.name:
                number = later
                phase, _ = _changed(mixture, spec, change, phase, versions[number], done)
        done[spec.name], used[spec.name] = phase, number
    return tuple(done.values())


def rebase(
    phases: Sequence[Phase], mixture: Mixture, name: str, step: int, version: Version
) -> Rebased:
    """The phases, where `name` goes on from `step` as the (edited) mixture has it now.

    Phases that `name` does not lead to stay as they are; those that follow it are resolved anew.

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
    account: tuple[LeafAccount, ...] = ()
    for spec in mixture.phases:
        if spec.name == name:
            change = Change(
                phase=name,
                step=step,
                mix=spec.mix,
                budget=spec.tokens,
                global_batch=spec.global_batch,
            )
            done[name], account = _changed(mixture, spec, change, before[name], version, before)
        elif spec.name not in before or name in _ancestors(mixture, spec):
            done[spec.name] = _first(mixture, spec, version, done)
        else:
            done[spec.name] = before[spec.name]
    return Rebased(phases=tuple(done.values()), account=account)


def _ancestors(mixture: Mixture, phase: PhaseSpec) -> list[str]:
    found: list[str] = []
    while phase.after:
        found.append(phase.after)
        phase = mixture.phase(phase.after)
    return found


def _first(mixture: Mixture, spec: PhaseSpec, version: Version, done: Mapping[str, Phase]) -> Phase:
    """A phase that nothing changes."""
    state = state_after(chain_to(done.values(), spec.after))
    rest = None if spec.tokens is None else Fraction(spec.tokens, spec.sequence_length)
    asked = demands(mixture, spec, version.supplies, done, {})
    segment, _ = _segment(mixture, spec, asked, version, state, _Begin(rest=rest))
    return Phase(
        name=spec.name,
        after=spec.after,
        sequence_length=spec.sequence_length,
        segments=(segment,),
        train=dict(spec.train),
    )


def _changed(
    mixture: Mixture,
    spec: PhaseSpec,
    change: Change,
    phase: Phase,
    version: Version,
    done: Mapping[str, Phase],
) -> tuple[Phase, tuple[LeafAccount, ...]]:
    """The phase cut at the change, and going on under it."""
    if spec.sequence_length != phase.sequence_length:
        raise ConfigError(
            f"phase {spec.name}: its sequence_length is {phase.sequence_length} and cannot become"
            f" {spec.sequence_length} on the way; begin a new phase after it"
        )
    cut, step = _cut(phase, change)
    stop = cut.segments[-1].stop
    budget = change.budget or spec.tokens
    whole = Fraction(budget, spec.sequence_length) if budget else Fraction(phase.samples)
    if whole <= stop:
        raise ConfigError(
            f"phase {spec.name}: at step {step:,} it has trained on"
            f" {stop * spec.sequence_length:,} tokens, and its budget is"
            f" {round(whole * spec.sequence_length):,}; raise tokens, or change it earlier"
        )
    now = replace(
        spec,
        mix=change.mix or spec.mix,
        global_batch=change.global_batch or phase.segments[-1].global_batch,
    )
    had = {} if change.mix else trained(cut)
    asked = demands(mixture, now, version.supplies, done, had)
    state = state_after([*chain_to(done.values(), phase.after), cut])
    begin = _Begin(position=stop, step=step, rest=whole - stop)
    segment, account = _segment(mixture, now, asked, version, state, begin)
    return replace(cut, segments=(*cut.segments, segment)), account


def _cut(phase: Phase, change: Change) -> tuple[Phase, int]:
    """The phase up to where a change begins, and that step."""
    for number, segment in enumerate(phase.segments):
        size = segment.global_batch
        if change.step is not None:
            step = change.step
        else:
            samples = -(-(change.tokens or 0) // phase.sequence_length)
            step = segment.first_step + max(0, -(-(samples - segment.start) // size))
        position = segment.start + (step - segment.first_step) * size
        if segment.start < position < segment.stop:
            kept = replace(segment, stop=position)
            return replace(phase, segments=(*phase.segments[:number], kept)), step
    at = f"step {change.step:,}" if change.step is not None else f"{change.tokens:,} tokens"
    raise ConfigError(
        f"phase {phase.name}: cannot change at {at}: it has steps 0 to {phase.steps - 1:,}, and a"
        " change has to leave at least a step before it and after it"
    )


def _segment(
    mixture: Mixture,
    spec: PhaseSpec,
    asked: Sequence[Demand],
    version: Version,
    state: State,
    begin: _Begin,
) -> tuple[Segment, tuple[LeafAccount, ...]]:
    """What the demands come to from here on, and what that does to begun epochs."""
    given = quotas(mixture, spec, asked, state, begin.rest)
    length, holes = spec.sequence_length, version.holes
    supplies, account = [], {}
    for demand in (demand for demand in asked if demand.leaf in given):
        leaf, was = demand.leaf, state.get(demand.leaf)
        begun = start(leaf, demand.body, length, was, demand.cursor, holes)
        account[leaf] = begun.account
        supplies.append(
            Supply(
                leaf=leaf,
                quota=given[leaf],
                body=demand.body,
                cursor=begun.cursor,
                first_epoch=begun.first_epoch,
                head=begun.head,
            )
        )
    for leaf in state.keys() - account.keys():
        account[leaf] = dropped(leaf, state[leaf], holes)
    segment = Segment(
        start=begin.position,
        stop=begin.position + sum(given.values()),
        first_step=begin.step,
        global_batch=spec.global_batch,
        supplies=tuple(supplies),
    )
    return segment, tuple(account[leaf] for leaf in sorted(account))
