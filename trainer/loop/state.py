"""What a checkpoint says of itself: `state.json`, beside the tensors.

The order of samples is arithmetic, so a manifest's digest, a phase and a step are all that there is
to know of the data: the next position follows from them. The learning rate follows from the step,
and so do the random numbers (`trainer.loop.seeds`).
"""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from manifests.errors import DataError
from manifests.fingerprint import sha256

STATE_FILE = "state.json"
SCHEMA = "scriptorium.checkpoint/2"
_TENSORS = ".distcp"
RECENT = 8
"""Losses that a checkpoint remembers, for the next phase to be compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The checkpoint that a phase started from."""

    path: str
    manifest: str
    phase: str
    step: int
    digest: str = ""
    """Of its tensors, where the phase learns from pairs: what its reference is found by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a run stands."""

    schema: str = SCHEMA
    manifest: str
    """Digest of the manifest that was trained on."""
    phase: str
    segment: int
    """Of the next step; of the last one, when the phase is over."""
    step: int
    """Steps that are done."""
    position: int
    """Samples that are done: the next one's position in the phase."""
    tokens: int
    """Input tokens of the phase that are done, padding counted."""
    order: str
    """What computes the order, as the manifest names it."""
    model: str
    """Digest of the model's configuration."""
    model_name: str
    vocabulary: int
    loss: str
    """The objective."""
    precision: str
    seed: int
    """Of initialisation and dropout."""
    distributed_optimizer: bool
    """Which of Megatron's two optimizers wrote its state; they do not read each other's."""
    optimizer: bool = True
    """Whether there is any state of an optimizer; weights that were imported have none."""
    origin: Origin | None = None
    recent_losses: tuple[float, ...] = ()
    """Of the last steps, the newest at the end."""
    layout: dict[str, int] = field(default_factory=dict)
    """Ranks when it was written; for people: any other layout can go on from it."""
    files: dict[str, int] = field(default_factory=dict)
    """Sizes of all other files of the checkpoint."""
    digests: dict[str, str] = field(default_factory=dict)
    """sha256 of those that say where the tensors lie; tensors are too large to be read twice."""


def write_state(path: Path, state: State) -> None:
    """Write the state into a checkpoint's directory, sizes and digests of what is there with it."""
    there = [
        found for found in sorted(path.rglob("*")) if found.is_file() and found.name != STATE_FILE
    ]
    files = {str(found.relative_to(path)): found for found in there}
    sizes = {name: found.stat().st_size for name, found in files.items()}
    digests = {
        name: sha256(found.read_bytes())
        for name, found in files.items()
        if found.suffix != _TENSORS
    }
    text = json.dumps(asdict(replace(state, files=sizes, digests=digests)), indent=1)
    (path / STATE_FILE).write_text(text + "\n")


def read_state(path: Path) -> State:
    """The state in a checkpoint's directory.

    Raises:
        DataError: It is none.
    """
    file = path / STATE_FILE
    try:
        found = json.loads(file.read_bytes())
        if found.get("schema") != SCHEMA or found.keys() != {f.name for f in fields(State)}:
            raise ValueError(f"not of {SCHEMA}, which is what this version reads")
        origin, recent = found.pop("origin"), tuple(found.pop("recent_losses"))
        return State(**found, origin=origin and Origin(**origin), recent_losses=recent)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: not the state of a checkpoint: {error}") from error
