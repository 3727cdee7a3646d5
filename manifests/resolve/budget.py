"""How many whole global batches a segment has, and each leaf's whole samples in it."""

from fractions import Fraction
from math import ceil, floor

from manifests.errors import ConfigError
from manifests.interleave import MAX_TOTAL
from manifests.resolve.fill import Basin, Fill
from manifests.resolve.shortage import shortage
from manifests.resolve.stretch import Stretch
from manifests.spec.types import OnCap, Rounding


def whole_batches(samples: Fraction, batch: int, rounding: Rounding) -> int:
    """Global batches for so many samples; at least one when rounded up."""
    exact = samples / batch
    match rounding:
        case Rounding.UP:
            return max(1, ceil(exact))
        case Rounding.DOWN:
            return floor(exact)
        case Rounding.NEAREST:
            return floor(exact + Fraction(1, 2))


def quotas(stretch: Stretch) -> dict[str, int]:
    """Whole samples of each leaf, none of them zero.

    Raises:
        ConfigError: Nothing to train on, a cap is in the way, or a leaf would get no sample.
    """
    phase = stretch.phase
    batches = _batches(stretch)
    basin = stretch.basin()
    fill = _fill(stretch, basin, batches)
    if fill is None:
        raise shortage(stretch, basin, batches)
    found = fill.quotas()
    for leaf in stretch.refused(found):
        raise ConfigError(
            f"phase {phase.name}: source {leaf} would get no sample of {fill.total:,}; give it a"
            " larger part, raise tokens, or set allow_zero = true to go without it"
        )
    return {leaf: quota for leaf, quota in found.items() if quota}


def _batches(stretch: Stretch) -> int:
    """What the budget comes to."""
    phase, demands = stretch.phase, stretch.demands
    if not any(demand.amount or demand.weight for demand in demands):
        at = f" from sample {stretch.position:,} on" if stretch.position else ""
        raise ConfigError(f"phase {phase.name}: its mix asks for nothing{at}; give a source a part")
    rest = stretch.rest
    if rest is None:
        rest = sum((demand.amount for demand in demands), Fraction())
    batches = whole_batches(rest, phase.global_batch, phase.round)
    if not batches:
        what = "its entries ask for" if stretch.rest is None else "its budget is"
        raise ConfigError(
            f"phase {phase.name}: {what} less than one step of {phase.global_batch} x"
            f' {phase.sequence_length} tokens; raise tokens, or set round = "up"'
        )
    if stretch.position + batches * phase.global_batch > MAX_TOTAL:
        raise ConfigError(
            f"phase {phase.name}: {batches:,} steps of {phase.global_batch} samples are more than"
            f" {MAX_TOTAL:,} samples, the most that a phase may have; lower tokens"
        )
    return batches


def _fill(stretch: Stretch, basin: Basin, batches: int) -> Fill | None:
    """Within the caps as the phase wants them kept; None if that cannot be."""
    phase = stretch.phase
    total = batches * phase.global_batch
    if phase.on_cap is OnCap.REDISTRIBUTE:
        return basin.fill(total)
    found = None if basin.over(total) else basin.fill(total)
    if found is None and phase.on_cap is OnCap.SHRINK and basin.most is not None:
        fewer = min(batches, basin.most // phase.global_batch)
        return basin.fill(fewer * phase.global_batch) if fewer else None
    return found
