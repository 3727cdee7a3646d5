"""What a person asks of `python -m trainer run`."""

from dataclasses import dataclass
from pathlib import Path

from manifests.resolve.types import Phase

NOWHERE = "none"
"""As --init: begin from random weights, although the phase goes on from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run: some phases of a manifest, one after another."""

    ref: str
    root: str
    phases: tuple[str, ...]
    """Names; empty for all, in the manifest's order."""
    config: str
    """A shipped configuration's name, or a file."""
    out: Path
    """Each phase has a folder of its name in it."""
    cache: Path
    """Of this machine: what is fetched or found out about the data is kept there."""
    init: str = ""
    """The checkpoint that the first phase begins from; NOWHERE: from random weights; empty: what
    the phase before it left in `out`."""
    steps: int | None = None
    """Stop after so many steps of each phase; its schedule stays that of the whole phase."""
    micro_batch: int | None = None
    """None: as the configuration says."""
    tensor: int = 1
    pipeline: int = 1
    workers: int = 2
    """Processes a rank that read samples ahead; 0: none."""
    save_every: int = 1000
    keep: int = 3
    """Checkpoints of a phase; 0: all."""
    evaluations: tuple[str, ...] = ()
    """Held-out sets: REF#PHASE."""
    eval_every: int = 0
    """0: after the last step only."""
    eval_samples: int = 256
    """The most of each set that are looked at."""
    seed: int | None = None
    """None: the fact `model_seed`."""
    recompute: bool | None = None
    """None: as the phase or the configuration says."""
    distributed_optimizer: bool | None = None
    """None: on GPUs."""
    peak_flops: float | None = None
    """Of one device, in FLOP/s; None: by its name."""

    def stop_of(self, phase: Phase) -> int:
        """The step to stop a phase before."""
        return phase.steps if self.steps is None else min(self.steps, phase.steps)
