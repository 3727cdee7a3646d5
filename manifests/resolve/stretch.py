"""A segment to be: what it has to fill, and what with."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from manifests.resolve.demand import Demand
from manifests.resolve.fill import Basin
from manifests.resolve.passes import Cap
from manifests.spec.types import PhaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """From a position of a phase to its end."""

    phase: PhaseSpec
    """With the mix, the budget and the batch that hold in it."""
    position: int
    rest: Fraction | None
    """Samples of the budget that are left; None: what the demands ask for."""
    demands: Sequence[Demand]
    caps: Mapping[str, Cap]
    """Of leaves that have one."""
    had: Container[str]
    """Leaves that the phase has trained on before."""

    def basin(self) -> Basin:
        """Its demands, ready to be filled."""
        return Basin(self.demands, {leaf: cap.samples for leaf, cap in self.caps.items()})

    def refused(self, quotas: Mapping[str, int]) -> Iterable[str]:
        """Leaves that must not go without a sample, and would."""
        if self.phase.allow_zero:
            return []
        used_up = {leaf for leaf, cap in self.caps.items() if cap.samples < 1}
        without = (leaf for leaf, quota in quotas.items() if not quota)
        return [leaf for leaf in without if leaf not in used_up and leaf not in self.had]
