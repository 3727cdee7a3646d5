"""A mixture's phases in whole numbers: each goes on from where the one before it stopped.

A change ends a segment at a step and begins another; what came before keeps its plan and so its
order. From a change on, the phase and all that follow it draw on what was selected after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.errors import ConfigError
from manifests.resolve.account import LeafAccount, account, summed
from manifests.resolve.phase import Changed, first, follow, go_on, step_of
from manifests.resolve.setting import Setting, Terms, Version
from manifests.resolve.types import Phase
from manifests.resolve.usage import Usage
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
    phase, terms = first(setting, spec).phase, Terms(spec=spec)
    for number, change in _changes(setting.mixture, spec.name):
        then = replace(setting, version=held.change(spec.name, number))
        phase, terms = follow(then, terms, change, phase)
    return phase


def _rebased(
    setting: Setting, spec: PhaseSpec, phase: Phase, step: int, held: Versions
) -> tuple[Phase, tuple[LeafAccount, ...]]:
    """The phase that goes on from a step under the spec as it is now; and what that costs."""
    if not step:
        return _whole(setting, spec, held), _account(setting.version, first(setting, spec))
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
        if (at := step_of(phase, change)) <= step:
            terms = terms.after(change, at, phase)
    changed = go_on(setting, terms, replace(phase, train=dict(spec.train)), step)
    after = changed.phase
    for number, change in changes:
        if step_of(phase, change) > step:
            then = replace(setting, version=held.change(spec.name, number))
            after, terms = follow(then, terms, change, after)
    return after, _account(setting.version, changed)


def _account(version: Version, changed: Changed) -> tuple[LeafAccount, ...]:
    starts, state, had = changed.opened.starts, changed.state, changed.had
    if version.holes is None:
        raise ValueError("a phase can only go on under a version that knows what is gone")
    return tuple(
        account(leaf, had.get(leaf, Usage()), state.get(leaf), starts.get(leaf), version.holes)
        for leaf in sorted(starts.keys() | had.keys())
    )
