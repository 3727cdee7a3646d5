"""Which samples of a begun epoch hold documents that are no longer selected.

The rest of the epoch is trained on without them, so a takedown is honoured at once; its neighbours
in the same windows are lost to this epoch, and are there again in the next.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.build.supplies import Selected
from manifests.documents import Documents, Mask, ShardRow, read_documents
from manifests.objects.ranges import read_table
from manifests.objects.root import Descriptor
from manifests.objects.tree import Objects
from manifests.permutation import mix, unpermute
from manifests.resolve.types import Body, Head
from manifests.segment_order import leaf_key
from manifests.store import Store
from manifests.survivors import Survivors
from manifests.windows import Ints, Windows


class GoneSamples:
    """For a resolution: the holes that the selection `now` leaves in what an older one began.

    `store` has the shards, `objects` what is older, as `earlier` lists it; the holes go there too.
    """

    def __init__(
        self,
        store: Store,
        objects: Objects,
        seed: int,
        now: Selected,
        earlier: Mapping[str, Descriptor],
    ) -> None:
        self._store = store
        self._objects = objects
        self._seed = seed
        self._now = now
        self._earlier = earlier

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int
    ) -> tuple[str, int]:
        """Digest and number of the ranks from `start` on that hold a document that is gone."""
        before = read_table(self._objects, body.table)
        windows = Windows.of(
            body,
            sequence_length,
            lambda _: before,
            lambda digest: self._objects.get_npy(self._earlier[digest]),
        )
        none = np.zeros(0, dtype=np.int64)
        samples = np.unique(np.concatenate([none, *self._gone(leaf, before, windows)]))
        key = mix(leaf_key(self._seed, leaf), np.array([epoch]))
        ranks = unpermute(samples, body.samples, key)
        holes = np.sort(ranks[ranks >= start])
        if not len(holes):
            return "", 0
        kept = self._objects.put_npy(holes)
        self._now.written[kept.digest] = kept
        return kept.digest, len(holes)

    def rank(self, head: Head, number: int) -> int:
        """The rank in its epoch of a head's sample of this number."""
        none = np.zeros(0, dtype=np.int64)
        holes = self._objects.get_npy(self._earlier[head.holes]) if head.holes else none
        return int(Survivors(head, holes).ranks(np.array([number]))[0])

    def _gone(self, leaf: str, before: pa.Table, windows: Windows) -> Iterator[Ints]:
        """Samples of the documents that were picked before and are not now."""
        now = self._now.rows(leaf) if self._now.has(leaf) else before.slice(0, 0)
        there = pc.index_in(before["key"], value_set=now["key"].combine_chunks())
        same_file = _equal(before["sha256"], now["sha256"].take(there))
        for shard in np.flatnonzero(~same_file).tolist():
            yield windows.samples_of_shard(shard)
        same_rows = _equal(before["picked"], now["picked"].take(there))
        for shard in np.flatnonzero(same_file & ~same_rows).tolist():
            new = ShardRow.of(now, there[shard].as_py())
            yield from self._gone_documents(windows, shard, ShardRow.of(before, shard), new)

    def _gone_documents(
        self, windows: Windows, shard: int, old: ShardRow, new: ShardRow
    ) -> Iterator[Ints]:
        if not (old.mask & ~new.mask).any():
            return
        documents = read_documents(self._store, old)

        def lengths_of(_: int) -> Documents:
            return documents

        for document in np.flatnonzero(~new.mask[documents.rows]).tolist():
            yield windows.samples_of(shard, document, lengths_of)


def _equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> Mask:
    """Where both are the same; false where there is no right one."""
    return np.asarray(pc.fill_null(pc.equal(left, right), False).to_numpy(), dtype=np.bool_)
