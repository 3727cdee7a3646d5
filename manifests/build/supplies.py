"""What the selected shards give a resolution: samples and tokens of every leaf, as objects."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ConfigError
from manifests.objects.ranges import write_table
from manifests.objects.root import Descriptor, Leaf
from manifests.objects.tree import Objects
from manifests.resolve.types import Body, LeafSupply
from manifests.select.selection import SelectedLeaf, window_samples
from manifests.spec.types import Layout
from manifests.store import Store
from manifests.windows import Ints, Windows


class Selected:
    """The leaves of a selection, each with its table written.

    `store` has the shards; the tables go to `objects`.
    """

    def __init__(self, store: Store, objects: Objects, leaves: Sequence[SelectedLeaf]) -> None:
        self._store = store
        self._objects = objects
        self._leaves = {leaf.name: leaf for leaf in leaves}
        self._tables = {leaf.name: write_table(objects, leaf.rows) for leaf in leaves}
        self._supplies: dict[tuple[str, Layout, int], LeafSupply] = {}
        self.written: dict[str, Descriptor] = {
            table.digest: table for table in self._tables.values()
        }
        """All objects of this selection, by digest."""

    def leaves(self, source: str) -> list[str]:
        """Names of a source's leaves, sorted."""
        return sorted(leaf.name for leaf in self._leaves.values() if leaf.source == source)

    def rows(self, leaf: str) -> pa.Table:
        """The shard rows of a leaf."""
        return self._leaves[leaf].rows

    def tables(self) -> dict[str, pa.Table]:
        """The shard rows of each leaf, by the digest of its table."""
        return {self._tables[name].digest: leaf.rows for name, leaf in self._leaves.items()}

    def has(self, leaf: str) -> bool:
        """Whether there is such a leaf."""
        return leaf in self._leaves

    def of(self, leaf: str, layout: Layout, sequence_length: int) -> LeafSupply:
        """What a leaf gives in windows of this length.

        Raises:
            ConfigError: Not even one window.
        """
        key = (leaf, layout, sequence_length)
        if key not in self._supplies:
            body = self._body(leaf, layout, sequence_length)
            documents = _total(self.rows(leaf), "documents")
            self._supplies[key] = LeafSupply(leaf=leaf, body=body, documents=documents)
        return self._supplies[key]

    def roots(self) -> tuple[Leaf, ...]:
        """The leaves as a root lists them."""
        return tuple(self._leaf(self._leaves[name]) for name in sorted(self._leaves))

    def _leaf(self, leaf: SelectedLeaf) -> Leaf:
        return Leaf(
            name=leaf.name,
            source=leaf.source,
            stratum=leaf.stratum,
            table=self._tables[leaf.name],
            shards=leaf.rows.num_rows,
            documents=_total(leaf.rows, "documents"),
            tokens=_total(leaf.rows, "tokens"),
        )

    def _body(self, leaf: str, layout: Layout, sequence_length: int) -> Body:
        table, rows = self._tables[leaf].digest, self.rows(leaf)
        if layout is Layout.DOCUMENT:
            sizes = window_samples(self._store, rows, sequence_length)
            kept = self._objects.put_npy(sizes)
            self.written[kept.digest] = kept
            tokens = _total(rows, "tokens") - _total(rows, "documents")
            samples, windows = int(sizes.sum()), kept.digest
        else:
            samples = Windows(layout, numbers(rows, "tokens"), sequence_length).samples
            tokens, windows = samples * sequence_length, ""
        if not samples:
            raise ConfigError(
                f"source {leaf}: {_total(rows, 'tokens')} tokens are not one window of"
                f' {sequence_length} and its label; give it layout = "document", a shorter'
                " sequence_length, or more data"
            )
        return Body(table=table, layout=layout, samples=samples, tokens=tokens, windows=windows)


def numbers(rows: pa.Table, column: str) -> Ints:
    """A column of whole numbers."""
    return np.asarray(rows[column].to_numpy(), dtype=np.int64)


def _total(rows: pa.Table, column: str) -> int:
    return int(pc.sum(rows[column]).as_py() or 0)
