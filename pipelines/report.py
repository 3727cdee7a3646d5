"""How a run is executed, and what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from manifests.commits import Ledger
from pipelines.ceilings import Ceilings
from pipelines.taking import Amount

MAPS_BESIDE = 2
"""Map tasks at once beside workers that generate: they are quick, and keep those fed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is executed; none of it bears on what is written."""

    workers: int = 1
    open_tasks: int = 4
    """Tasks open at once in each generate worker."""
    map_tasks: int = MAPS_BESIDE
    silence_seconds: float = 180.0
    """How long a worker may not answer before it is taken for hung and killed."""
    reuse: tuple[str, ...] = ()
    keep_transcripts: bool = True
    ceilings: Ceilings = field(default_factory=Ceilings)


@dataclass(slots=True)
class Report:
    """What a run came to."""

    tasks: int = 0
    committed: int = 0
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    """By step address, of the tasks that committed in this run."""
    stopped: bool = False
    ceiling: str = ""
    """The bound that ended the run before it had everything, in words."""
    amounts: Sequence[Amount] = ()
    """How near each generator is of which an amount is asked."""
    lacking: Sequence[Amount] = ()
    """Those that the sources do not suffice for."""
    worker_deaths: int = 0
