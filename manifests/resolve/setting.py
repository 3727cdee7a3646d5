"""What a phase is resolved in: the mixture, what there is, and the phases before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from manifests.resolve.supplies import Holes, Supplies
from manifests.resolve.types import Phase
from manifests.spec.mixes import is_relative
from manifests.spec.types import Change, Mixture, PhaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What there is from some point on; `holes` for all but the first."""

    supplies: Supplies
    holes: Holes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Around a phase."""

    mixture: Mixture
    version: Version
    done: Mapping[str, Phase]
    """By name, the phases that are resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A phase as it is to go on: its spec, with what changes made of mix, tokens and batch."""

    spec: PhaseSpec
    since: int = 0
    """The step from which its mix holds."""

    def after(self, change: Change, step: int, phase: Phase) -> "Terms":
        """The terms from a change on that happens to `phase` at a step."""
        budget = change.budget or self.spec.tokens
        if budget is None and any(map(is_relative, change.mix)):
            # The length follows from the mix before; weights need one to divide.
            budget = phase.samples * phase.sequence_length
        spec = replace(
            self.spec,
            mix=change.mix or self.spec.mix,
            tokens=budget,
            global_batch=change.global_batch or self.spec.global_batch,
        )
        return Terms(spec=spec, since=step if change.mix else self.since)
