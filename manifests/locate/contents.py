"""What the samples of a manifest hold: its tables and windows, each read once and kept."""

from collections.abc import Iterator

import pyarrow as pa

from manifests.documents import Documents, ShardRow, read_documents
from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.resolve.types import ORDER, Body, Phase, Supply
from manifests.windows import Span, Windows, refuse_other_packings

_COLUMNS = ("step", "slice_index", "sha256", "bytes", "rows", "picked", "tokens")


class Contents:
    """A manifest to look things up in. Tables and windows are kept for as long as this is.

    Raises:
        ConfigError: Another order or packing than this program's made the manifest.
    """

    def __init__(self, manifest: Manifest) -> None:
        if manifest.root.order != ORDER:
            raise ConfigError(
                f"manifest sha256:{manifest.digest[:12]}: its order is {manifest.root.order!r}, and"
                f" this version computes {ORDER!r}; look at it with the version that built it"
            )
        for phase in manifest.root.phases:
            refuse_other_packings(bodies_of(phase))
        self.manifest = manifest
        self._tables: dict[str, pa.Table] = {}
        self._windows: dict[tuple[Body, int], Windows] = {}

    def table(self, digest: str) -> pa.Table:
        """The shard rows of a table: what names a file, what is picked of it, its tokens."""
        if digest not in self._tables:
            self._tables[digest] = self.manifest.rows(digest, _COLUMNS)
        return self._tables[digest]

    def windows(self, body: Body, sequence_length: int) -> Windows:
        """The samples of an epoch of a body."""
        key = (body, sequence_length)
        if key not in self._windows:
            array = self.manifest.array
            self._windows[key] = Windows.of(body, sequence_length, self.table, array)
        return self._windows[key]

    def row(self, table: str, shard: int) -> ShardRow:
        """A row of a table."""
        return ShardRow.of(self.table(table), shard)

    def documents(self, table: str, shard: int) -> Documents:
        """The picked documents of a row of a table; those of the last few are remembered.

        Raises:
            DataError: The file is not there, or broken.
        """
        return read_documents(self.manifest.store, self.row(table, shard))

    def spans(self, body: Body, sequence_length: int, sample: int) -> list[Span]:
        """The tokens of a sample, document by document."""
        windows = self.windows(body, sequence_length)
        return windows.spans(sample, lambda shard: self.documents(body.table, shard))

    def phase(self, name: str) -> Phase:
        """As `phase_of`."""
        return phase_of(self.manifest, name)


def phase_of(manifest: Manifest, name: str) -> Phase:
    """A phase by its name.

    Raises:
        ConfigError: There is none; says which there are.
    """
    phases = {phase.name: phase for phase in manifest.root.phases}
    if name not in phases:
        raise ConfigError(f"{manifest.root.name} has no phase {name}; it has {', '.join(phases)}")
    return phases[name]


def body_of(supply: Supply, in_head: bool) -> Body:
    """What a supply's head, or what its body, is."""
    if not in_head:
        return supply.body
    if supply.head is None:
        raise ValueError(f"{supply.leaf} has no head")
    return supply.head.body


def bodies_of(phase: Phase) -> Iterator[Body]:
    """What the phase takes samples from, epochs that are only ended too; some more than once."""
    for supply in (supply for segment in phase.segments for supply in segment.supplies):
        yield supply.body
        if supply.head:
            yield supply.head.body
