"""Log probabilities of pairs in the store: slices of the pairs, each committed once.

As everywhere: a data file is named by its content, and a slice is done when its commit is there,
which is created only if absent. So a killed pass goes on where it was, and of two at once the first
to commit a slice wins, whose numbers all readers then get.
"""

import json
import secrets
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.errors import DataError, NotInStore
from manifests.fingerprint import canonical_json
from manifests.layout import data_file, reference_address, reference_commit_file, reference_file
from manifests.shards import Shard, read_shard, write_shard
from manifests.store import Store
from trainer.losses.pairs import NAMES

SLICE_PAIRS = 4096
SCHEMA = "scriptorium.reference/1"

VALUES = ("chosen", "rejected")
ROWS = pa.schema([*NAMES, *(pa.field(name, pa.float32(), nullable=False) for name in VALUES)])
"""Of a data file: how a pair is called, and the log probabilities of its responses."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceStore:
    """The log probabilities of one phase's pairs under one checkpoint."""

    store: Store
    manifest: str
    """Digest."""
    phase: str
    checkpoint: str
    """Digest."""
    pairs: int

    @property
    def address(self) -> str:
        """Where they lie."""
        return reference_address(self.manifest, self.phase, self.checkpoint)

    @property
    def slices(self) -> int:
        """How many there are."""
        return -(-self.pairs // SLICE_PAIRS)

    def span(self, slice_index: int) -> tuple[int, int]:
        """The pairs of a slice: its first, and the one behind its last."""
        start = slice_index * SLICE_PAIRS
        return start, min(start + SLICE_PAIRS, self.pairs)

    def begin(self) -> None:
        """Say what this is, if nobody has yet.

        Raises:
            DataError: What is there was cut into slices otherwise.
        """
        about = canonical_json(
            {
                "schema": SCHEMA,
                "manifest": self.manifest,
                "phase": self.phase,
                "checkpoint": self.checkpoint,
                "pairs": self.pairs,
                "slice_pairs": SLICE_PAIRS,
            }
        )
        key = reference_file(self.address)
        if not self.store.create(key, about) and (found := self.store.get(key)) != about:
            raise DataError(
                f"{self.store.url}: {key} says {found.decode(errors='replace')!r:.200}, and this"
                f" version writes {about.decode()!r}; remove {self.address}/ and compute it again"
            )

    def missing(self) -> list[int]:
        """Slices without a commit."""
        there = set(self.store.list(f"{self.address}/commits/"))
        keys = (reference_commit_file(self.address, number) for number in range(self.slices))
        return [number for number, key in enumerate(keys) if key not in there]

    def commit(self, slice_index: int, names: pa.Table, values: Values) -> bool:
        """Keep a slice; False when somebody else's is there already, which then counts.

        Raises:
            StoreFull: No room left; the slice is still missing.
        """
        start, stop = self.span(slice_index)
        if not (names.num_rows == len(values) == stop - start):
            raise ValueError(f"slice {slice_index} has {stop - start} pairs, not {len(values)}")
        columns = [pa.array(values[:, number]) for number in range(len(VALUES))]
        table = pa.table([*names.columns, *columns], schema=ROWS)
        shard = write_shard(self.store, partial(data_file, self.address), table)
        content = {"slice": slice_index, "data": asdict(shard), "nonce": secrets.token_hex(8)}
        return self.store.create(
            reference_commit_file(self.address, slice_index), canonical_json(content)
        )

    def read(self) -> Values:
        """[pairs, 2] of chosen and rejected, of all slices.

        Raises:
            NotInStore: A slice is missing.
            DataError: A commit or a data file is broken.
        """
        tables = [self._table(number) for number in range(self.slices)]
        columns = [np.concatenate([table[name].to_numpy() for table in tables]) for name in VALUES]
        values = np.stack(columns, axis=1)
        if not np.isfinite(values).all():
            raise DataError(
                f"{self.store.url}: {self.address} has log probabilities that are not finite;"
                " the checkpoint, or the precision that it was run in, is broken"
            )
        return values

    def _table(self, slice_index: int) -> pa.Table:
        key = reference_commit_file(self.address, slice_index)
        start, stop = self.span(slice_index)
        try:
            found = json.loads(self.store.get(key))
            shard = Shard(**found["data"])
            if (found["slice"], shard.rows) != (slice_index, stop - start):
                raise ValueError(f"of slice {found['slice']} with {shard.rows} pairs")
        except NotInStore:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.store.url}: {key}: not the commit of a slice: {error}"
            ) from error
        return read_shard(self.store, data_file(self.address, shard.sha256), shard, VALUES)
