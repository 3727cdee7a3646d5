"""How many whole global batches a segment has, and each leaf's whole samples in it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor

from manifests.errors import ConfigError
from manifests.resolve.demand import Demand
from manifests.resolve.fill import Basin, Fill
from manifests.resolve.state import State
from manifests.resolve.types import source_of
from manifests.spec.types import Mixture, OnCap, PhaseSpec, Rounding


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


def quotas(
    mixture: Mixture,
    phase: PhaseSpec,
    demands: Sequence[Demand],
    state: State,
    rest: Fraction | None,
) -> dict[str, int]:
    """Whole samples of each leaf; `rest` is the budget that is left, in samples, None for what the
    demands ask for.

    Raises:
        ConfigError: Nothing to train on, a cap is in the way, or a leaf would get no sample.
    """
    if not demands:
        raise ConfigError(f"phase {phase.name}: its mix asks for nothing; give a source a weight")
    caps = _caps(mixture, demands, state)
    basin = Basin(demands, caps)
    if rest is None:
        rest = sum((demand.amount for demand in demands), Fraction())
    batches = whole_batches(rest, phase.global_batch, phase.round)
    if not batches:
        raise ConfigError(
            f"phase {phase.name}: its budget is less than one step of {phase.global_batch} x"
            f' {phase.sequence_length} tokens; raise it, or set round = "up"'
        )
    if phase.on_cap is OnCap.SHRINK:
        batches = _most_batches(basin, phase.global_batch, batches)
    total = batches * phase.global_batch
    fill = basin.fill(total) if total else None
    if fill is None or (fill.over and phase.on_cap is not OnCap.REDISTRIBUTE):
        raise _too_much(phase, demands, caps, basin, fill, batches)
    found = fill.quotas(total)
    _refuse_zero(phase, demands, caps, found)
    return {leaf: quota for leaf, quota in found.items() if quota}


def _caps(mixture: Mixture, demands: Sequence[Demand], state: State) -> dict[str, int]:
    """Whole samples that each leaf with a cap may still give."""
    caps = {}
    for demand in demands:
        most = mixture.source(source_of(demand.leaf)).max_epochs
        if most is not None:
            seen = state[demand.leaf].exposure if demand.leaf in state else Fraction()
            caps[demand.leaf] = max(0, floor((most - seen) * demand.body.samples))
    return caps


def _most_batches(basin: Basin, batch: int, most: int) -> int:
    """The largest number of batches, up to `most`, that needs no leaf above its cap."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        fill = basin.fill(middle * batch)
        low, high = (middle, high) if fill and not fill.over else (low, middle - 1)
    return low


def _too_much(
    phase: PhaseSpec,
    demands: Sequence[Demand],
    caps: Mapping[str, int],
    basin: Basin,
    fill: Fill | None,
    batches: int,
) -> ConfigError:
    """The error that names the leaf that lacks most, and every way out."""
    batch, length = phase.global_batch, phase.sequence_length
    feasible = _most_batches(basin, batch, batches) * batch * length
    if fill is None:
        most = sum(caps.get(demand.leaf, 0) for demand in demands) * length
        if basin.amount > batches * batch:
            return ConfigError(
                f"phase {phase.name}: its entries ask for {_tokens(basin.amount * length)}, above"
                f" its budget of {_tokens(batches * batch * length)}; raise tokens"
            )
        return ConfigError(
            f"phase {phase.name}: all its sources up to their max_epochs give {_tokens(most)}, less"
            f" than its budget of {_tokens(batches * batch * length)}; raise max_epochs, lower"
            " tokens, or add data"
        )
    bodies = {demand.leaf: demand.body for demand in demands}
    worst = max(fill.over, key=lambda leaf: (fill.over[leaf] - caps[leaf], leaf))
    body, wanted = bodies[worst], fill.over[worst]
    short = (wanted - caps[worst]) * Fraction(body.tokens, body.samples)
    return ConfigError(
        f"phase {phase.name}: source {worst} lacks {_tokens(short)}: it would be passed over"
        f" {wanted / body.samples:.2f} times, and may still be {caps[worst] / body.samples:.2f}"
        f" times; raise its max_epochs, lower tokens to {feasible:,}, or set on_cap ="
        ' "redistribute" or "shrink"'
    )


def _refuse_zero(
    phase: PhaseSpec, demands: Sequence[Demand], caps: Mapping[str, int], found: Mapping[str, int]
) -> None:
    for demand in demands:
        if not found[demand.leaf] and caps.get(demand.leaf, 1) and not phase.allow_zero:
            raise ConfigError(
                f"phase {phase.name}: source {demand.leaf} would get no sample of"
                f" {sum(found.values()):,}; give it a larger part, raise tokens, or set allow_zero"
                " = true to go without it"
            )


def _tokens(amount: Fraction | int) -> str:
    return f"{round(amount):,} tokens"
