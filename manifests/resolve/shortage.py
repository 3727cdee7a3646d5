"""What is said when sources cannot give what a phase asks for: who lacks what, and the ways out.

Every way out that is named has been tried: it is left out where it would not help.
"""

from fractions import Fraction
from math import ceil

from manifests.errors import ConfigError
from manifests.resolve.fill import Basin
from manifests.resolve.stretch import Stretch
from manifests.spec.types import OnCap


def shortage(stretch: Stretch, basin: Basin, batches: int) -> ConfigError:
    """The error for so many batches that cannot be filled."""
    phase, on_cap = stretch.phase, stretch.phase.on_cap
    batch = phase.global_batch
    if on_cap is OnCap.SHRINK:  # not even as few as there may be
        batches = min(batches, max(1, ceil(basin.amount / batch)))
    over = basin.over(batches * batch)
    if over and on_cap is not OnCap.REDISTRIBUTE:
        return _over(stretch, basin, over, batches)
    reach = basin.reach
    if reach is None or reach >= batches * batch:
        return ConfigError(
            f"phase {phase.name}: its entries ask outright for {ceil(basin.amount):,} samples, and"
            f" its budget leaves {batches * batch:,}; raise tokens above"
            f" {_tokens(stretch, ceil(basin.amount)):,}"
        )
    missing = batches * batch - reach
    if stretch.rest is None and not over:
        return ConfigError(
            f"phase {phase.name}: what its entries ask for, rounded to {batches:,} whole steps, is"
            f' {missing:,} samples more than their max_epochs allow; set round = "down", or raise'
            " a max_epochs"
        )
    return ConfigError(
        f"phase {phase.name}: up to their max_epochs its sources lack"
        f" {missing * phase.sequence_length:,} tokens; raise max_epochs, {_less(stretch, basin)},"
        " or add data"
    )


def _over(stretch: Stretch, basin: Basin, over: dict[str, Fraction], batches: int) -> ConfigError:
    """Names the leaf that lacks most."""
    phase = stretch.phase
    bodies = {demand.leaf.name: demand.leaf.body for demand in stretch.demands}

    def lack(leaf: str) -> Fraction:
        body = bodies[leaf]
        return (over[leaf] - stretch.caps[leaf].samples) * Fraction(body.tokens, body.samples)

    worst = max(sorted(over), key=lack)
    cap = stretch.caps[worst]
    ways = [f"raise its max_epochs to at least {_up(cap.needed(Fraction(ceil(over[worst]))))}"]
    ways.append(_less(stretch, basin))
    if phase.on_cap is OnCap.ERROR:
        redistributed = _goes(stretch, basin, batches * phase.global_batch)
        shrunk = _feasible(stretch, basin, basin.most) is not None
        choices = ['"redistribute"'] * redistributed + ['"shrink"'] * shrunk
        ways += [f"set on_cap = {' or '.join(choices)}"] if choices else []
    return ConfigError(
        f"phase {phase.name}: source {worst} lacks {ceil(lack(worst)):,} tokens: it would be passed"
        f" over {_up(cap.needed(over[worst]))} times, and its max_epochs is {_up(cap.most)};"
        f" {', '.join(ways[:-1])}, or {ways[-1]}"
    )


def _less(stretch: Stretch, basin: Basin) -> str:
    """How to ask for less, by the largest budget that can be had if there is one."""
    if stretch.rest is None:
        return "ask for less"
    redistribute = stretch.phase.on_cap is OnCap.REDISTRIBUTE
    samples = _feasible(stretch, basin, basin.reach if redistribute else basin.most)
    if samples is None:
        return "ask for less"
    return f"lower tokens to {_tokens(stretch, samples):,}"


def _feasible(stretch: Stretch, basin: Basin, limit: int | None) -> int | None:
    """The most samples, in whole batches, up to a limit; None if that leaves a source without."""
    samples = (limit or 0) // stretch.phase.global_batch * stretch.phase.global_batch
    return samples if samples and _goes(stretch, basin, samples) else None


def _goes(stretch: Stretch, basin: Basin, samples: int) -> bool:
    fill = basin.fill(samples)
    return fill is not None and not any(stretch.refused(fill.quotas()))


def _tokens(stretch: Stretch, samples: int) -> int:
    """The budget of the whole phase that leaves so many samples."""
    return (stretch.position + samples) * stretch.phase.sequence_length


def _up(number: Fraction) -> str:
    """To two decimals, rounded up, so that it suffices."""
    hundredths = ceil(number * 100)
    return f"{hundredths // 100}.{hundredths % 100:02}"
