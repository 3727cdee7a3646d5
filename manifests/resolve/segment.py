"""One segment resolved: what its mix comes to from here on, and where each leaf begins."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from manifests.resolve.budget import quotas
from manifests.resolve.demand import Demand
from manifests.resolve.passes import Cap, Passes
from manifests.resolve.portions import Leaf
from manifests.resolve.setting import Setting
from manifests.resolve.start import Start, start
from manifests.resolve.state import State
from manifests.resolve.stretch import Stretch
from manifests.resolve.types import Segment, Supply, source_of
from manifests.spec.types import Cursor, PhaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Where a segment begins, and what it has to fill."""

    position: int = 0
    step: int = 0
    rest: Fraction | None
    """Samples of the budget that are left; None: what the demands ask for."""
    state: State
    under_mix: Container[str] = ()
    """Leaves that this phase has trained on under the mix that holds."""
    in_phase: Container[str] = ()
    """And under any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A segment, and where its leaves began; leaves without a quota too."""

    segment: Segment
    starts: dict[str, Start]


def open_segment(
    setting: Setting, spec: PhaseSpec, asked: Sequence[Demand], opening: Opening
) -> Opened:
    """The segment from an opening to the end of the phase.

    Raises:
        ConfigError: The demands do not fit the budget or the caps.
    """

    def begin(leaf: Leaf) -> Start:
        # A restart happens once, not again where a change goes on with the same mix.
        once = replace(leaf, cursor=Cursor.CONTINUE) if leaf.name in opening.under_mix else leaf
        was = opening.state.get(leaf.name)
        return start(once, spec.sequence_length, was, setting.version.holes)

    starts = {demand.leaf.name: begin(demand.leaf) for demand in asked}
    given = quotas(
        Stretch(
            phase=spec,
            position=opening.position,
            rest=opening.rest,
            demands=asked,
            caps=_caps(setting, starts, opening.state),
            had=opening.in_phase,
        )
    )
    supplies = tuple(
        Supply(
            leaf=leaf,
            quota=quota,
            body=starts[leaf].body,
            cursor=starts[leaf].cursor,
            first_epoch=starts[leaf].first_epoch,
            head=starts[leaf].head,
        )
        for leaf, quota in given.items()
    )
    segment = Segment(
        start=opening.position,
        stop=opening.position + sum(given.values()),
        first_step=opening.step,
        global_batch=spec.global_batch,
        supplies=supplies,
    )
    return Opened(segment=segment, starts={leaf: starts[leaf] for leaf in given})


def _caps(setting: Setting, starts: dict[str, Start], state: State) -> dict[str, Cap]:
    most = {source.name: source.max_epochs for source in setting.mixture.sources}
    found = {}
    for leaf, begin in starts.items():
        limit = most[source_of(leaf)]
        if limit is not None:
            seen = state[leaf].passes if leaf in state else Fraction()
            passes = Passes(body=begin.body, head=begin.head)
            found[leaf] = Cap(most=limit, seen=seen, passes=passes)
    return found
