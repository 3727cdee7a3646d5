"""The rules of changes: each inside its phase, after the one before, with a mix for the rest."""

from fractions import Fraction
from math import ceil

from manifests.spec.form import Place, nearest
from manifests.spec.mixes import check_mix, is_relative
from manifests.spec.types import Change, Mixture, PhaseSpec


def check_changes(mixture: Mixture, place: Place) -> None:
    """Pass if every change can be carried out.

    Raises:
        ConfigError: The first that cannot.
    """
    names = [phase.name for phase in mixture.phases]
    for number, change in enumerate(mixture.changes, 1):
        at = place.at("changes", number)
        if change.phase not in names:
            hint = nearest(change.phase, names, "the phases are")
            raise at.at("phase").error(f"no phase {change.phase}; {hint}")
        if change.mix:
            check_mix(mixture, mixture.phase(change.phase), change.mix, at.at("mix"))
            if not any(map(is_relative, change.mix)):
                raise at.at("mix").error(
                    "every entry says how much it gives, but the rest of the phase must come out "
                    "full; give one entry a weight"
                )
    for phase in mixture.phases:
        _walk(mixture, phase, place)


def _walk(mixture: Mixture, phase: PhaseSpec, place: Place) -> None:
    """Through the changes of a phase: where each begins, in steps and tokens."""
    step, tokens, batch, budget = 0, 0, phase.global_batch, phase.tokens
    for number, change in enumerate(mixture.changes, 1):
        if change.phase != phase.name:
            continue
        at = place.at("changes", number, "at" if change.step is None else "at_step")
        size = batch * phase.sequence_length
        begins = first_step(change, step, tokens, size)
        if begins <= step:
            raise at.error(
                f"is not after the change before it (step {step:,}); give a phase's changes in the "
                "order in which they happen"
            )
        tokens += (begins - step) * size
        step = begins
        if budget is not None and tokens >= budget:
            raise at.error(
                f"is beyond the phase, which is over after {budget:,} tokens; begin earlier, or "
                "give an earlier change more tokens"
            )
        if change.budget is not None and change.budget <= tokens:
            raise place.at("changes", number, "tokens").error(
                f"{change.budget:,} tokens are over when the change begins, after {tokens:,}; "
                "give the whole phase's new budget"
            )
        budget = change.budget or budget
        batch = change.global_batch or batch


def first_step(change: Change, step: int, tokens: int, size: int) -> int:
    """Where a change begins, if step `step` began after `tokens`, and each has `size` since."""
    if change.step is not None:
        return change.step
    return step + ceil(Fraction((change.tokens or 0) - tokens, size))
