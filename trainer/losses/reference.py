"""Log probabilities of a phase's pairs under the frozen model that the phase begins with.

They are computed once (`python -m trainer reference`), kept in the store under the digests of the
manifest and of the checkpoint, and looked up by position: no second model is in memory. What was
computed for another manifest or another checkpoint is never used.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError
from manifests.fingerprint import fingerprint
from manifests.layout import references_prefix
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from trainer.losses.pair_rows import ALL, Ints
from trainer.losses.pairs import phase_pairs
from trainer.losses.reference_store import ReferenceStore

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """What is known of N pairs of a phase, by position."""

    index: Ints
    """[positions of the phase]: the number of the pair there."""
    values: npt.NDArray[np.float32]
    """[N, 2]: log probabilities of the chosen and of the rejected response."""
    limited: npt.NDArray[np.bool_]
    """[N]: whether only `first_tokens` of each response count."""
    first_tokens: int = 0

    def limits(self, positions: Ints) -> Ints:
        """How many first ids of each response count, at these positions."""
        return np.where(self.limited[self.index[positions]], self.first_tokens, ALL)

    def reference(self, positions: Ints) -> npt.NDArray[np.float32]:
        """[B, 2]: log probabilities of chosen and rejected at these positions."""
        return self.values[self.index[positions]]


def open_reference(
    manifest: Manifest, phase: Phase, checkpoint: str, init: str = "CHECKPOINT"
) -> Reference:
    """What the checkpoint with this digest says of the phase's pairs; `init` is where it lies, for
    the advice.

    Raises:
        ConfigError: Not computed, or not all of it; says what is there and the command to run.
        DataError: What is there is broken.
    """
    pairs = phase_pairs(manifest, phase)
    kept = ReferenceStore(
        store=manifest.store,
        manifest=manifest.digest,
        phase=phase.name,
        checkpoint=checkpoint,
        pairs=len(pairs),
    )
    if missing := kept.missing():
        raise ConfigError(
            f"phase {phase.name} needs the log probabilities of its {len(pairs):,} pairs under"
            f" checkpoint {checkpoint[:12]}: {_found(kept, missing)}; run python -m trainer"
            f" reference sha256:{manifest.digest[:12]} --root {manifest.store.url} --phase"
            f" {phase.name} --init {init} --config CONFIG"
        )
    return Reference(
        index=pairs.index,
        values=kept.read(),
        limited=pairs.limited,
        first_tokens=pairs.first_tokens,
    )


def checkpoint_digest(path: Path) -> str:
    """Identity of a checkpoint's tensors: 64 hex digits over the contents of all its files.

    `state.json` is left out, as it tells where an earlier checkpoint lay.
    """
    files = sorted(
        found for found in path.rglob("*") if found.is_file() and found.name != "state.json"
    )
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(_sha256, files))
    names = [str(found.relative_to(path)) for found in files]
    return fingerprint(dict(zip(names, digests, strict=True)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _found(kept: ReferenceStore, missing: list[int]) -> str:
    if len(missing) < kept.slices:
        are = "is" if len(missing) == 1 else "are"
        return f"{len(missing):,} of {kept.slices:,} slices {are} missing"
    prefix = references_prefix(kept.manifest, kept.phase)
    keys = (key.removeprefix(prefix).split("/") for key in kept.store.list(prefix))
    others = sorted({parts[0][:12] for parts in keys} - {kept.checkpoint[:12]})
    if not others:
        return "there are none for this manifest"
    more = ", ..." if len(others) > _SHOWN else ""
    return f"there are only those under {', '.join(others[:_SHOWN])}{more}"
