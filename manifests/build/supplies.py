"""What the selected shards give a resolution: samples and tokens of every leaf, as objects."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ConfigError
from manifests.objects.ranges import write_table
from manifests.objects.root import Descriptor, Leaf
from manifests.objects.tree import Objects
from manifests.packing import PACKING
from manifests.resolve.types import Body, LeafSupply
from manifests.select.selection import SelectedLeaf, useful_tokens
from manifests.select.window_counts import Cut, WindowCounts
from manifests.spec.types import Layout, Mixture
from manifests.windows import Ints, Windows


class Selected:
    """The leaves of a selection, each with its table written.

    Windows are counted by `counts`, which several selections may share; the tables go to `objects`.
    `cuts` are those that will be asked for, by source, so that no shard is read twice.
    """

    def __init__(
        self,
        counts: WindowCounts,
        objects: Objects,
        leaves: Sequence[SelectedLeaf],
        cuts: Mapping[str, frozenset[Cut]],
    ) -> None:
        self._counts = counts
        self._cuts = cuts
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
        if layout is not Layout.STREAM:
            further = self._cuts.get(self._leaves[leaf].source, ())
            counted = self._counts.of(rows, (layout, sequence_length), further)
            kept = self._objects.put_npy(counted.windows)
            self.written[kept.digest] = kept
            return Body(
                table=table,
                layout=layout,
                samples=int(counted.windows.sum()),
                tokens=useful_tokens(rows),
                windows=kept.digest,
                packing=PACKING if layout is Layout.PACKED else "",
                splits=counted.splits,
            )
        samples = Windows(layout, numbers(rows, "tokens"), sequence_length).samples
        if not samples:
            raise ConfigError(
                f"source {leaf}: {_total(rows, 'tokens')} tokens are not one window of"
                f' {sequence_length} and its label; give it layout = "document", a shorter'
                " sequence_length, or more data"
            )
        return Body(table=table, layout=layout, samples=samples, tokens=samples * sequence_length)


def cuts_of(mixture: Mixture) -> dict[str, frozenset[Cut]]:
    """By source, the windows that a mixture asks for and that are not cut from a stream."""
    asked: dict[str, dict[str, set[Layout]]] = {}
    found: dict[str, set[Cut]] = {}
    for phase in mixture.phases:
        here: dict[str, set[Layout]] = {}
        changed = [change.mix for change in mixture.changes if change.phase == phase.name]
        for entry in (entry for mix in (phase.mix, *changed) for entry in mix):
            own = entry.layout or phase.layout
            sources = asked[entry.recall] if entry.recall else {entry.name: {own}}
            for source, layouts in sources.items():
                recalled = {entry.layout} if entry.layout else layouts
                here.setdefault(source, set()).update(recalled)
        asked[phase.name] = here
        for source, layouts in here.items():
            cuts = {(one, phase.sequence_length) for one in layouts - {Layout.STREAM}}
            found.setdefault(source, set()).update(cuts)
    return {source: frozenset(cuts) for source, cuts in found.items()}


def numbers(rows: pa.Table, column: str) -> Ints:
    """A column of whole numbers."""
    return np.asarray(rows[column].to_numpy(), dtype=np.int64)


def _total(rows: pa.Table, column: str) -> int:
    return int(pc.sum(rows[column]).as_py() or 0)
