"""The samples that a changed table leaves out of a begun epoch, found in the documents themselves.

Counted anew from the old and the new rows of each shard; only changed shards are read.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from manifests.levels.contents import Opened, mask_of
from manifests.levels.files import DataFile
from manifests.levels.metadata import Material
from manifests.levels.packed import windows_with
from manifests.levels.plain import key
from manifests.levels.reading import Ints, checked_bytes, npy_digest
from manifests.permutation import mix, unpermute
from manifests.resolve.types import Body
from manifests.spec.types import Layout

_COLUMNS = ["key", "step", "sha256", "bytes", "rows", "picked"]


class GoneFrom:
    """Holes as documents have them: a `manifests.levels.chains.Gone`."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self.shards = 0
        """How many were read."""

    def __call__(
        self, leaf: str, body: Body, epoch: int, start: int, sequence_length: int, table: str
    ) -> tuple[str, int]:
        """Raises Bad where a shard is not there or not whole."""
        samples = np.unique(
            np.concatenate(
                [np.zeros(0, dtype=np.int64), *self._samples(body, table, sequence_length)]
            )
        )
        keyed = mix(
            key("scriptorium.order", "leaf", str(self._material.root.seed), leaf), _one(epoch)
        )
        ranks = unpermute(samples, body.samples, keyed)
        holes = np.sort(ranks[ranks >= start])
        return (npy_digest(holes), len(holes)) if len(holes) else ("", 0)

    def _samples(self, body: Body, table: str, length: int) -> Iterator[Ints]:
        """Of each changed shard, the samples with a document that is there no more."""
        old = self._material.rows(body.table, _COLUMNS).to_pylist()
        has = table in self._material.tables
        now = self._material.rows(table, _COLUMNS).to_pylist() if has else []
        new = {row["key"]: row for row in now}
        facts = self._material.tables[body.table]
        streams = body.layout is Layout.STREAM
        sizes = facts.sizes if streams else self._material.arrays[body.windows]
        ends = np.cumsum(sizes)
        for number, row in enumerate(old):
            first, stop = int(ends[number] - sizes[number]), int(ends[number])
            other = new.get(row["key"])
            if other is None or other["sha256"] != row["sha256"]:
                whole = np.array([[first, stop]], dtype=np.int64)
                yield _between(whole, body, length) if streams else np.arange(first, stop)
            elif other["picked"] != row["picked"]:
                yield from self._of_gone(row, other, body, length, first)

    def _of_gone(
        self, old: Mapping[str, Any], new: Mapping[str, Any], body: Body, length: int, first: int
    ) -> Iterator[Ints]:
        """Samples with documents that are gone, of a shard that begins at a token or sample."""
        self.shards += 1
        file = DataFile(old["step"], old["sha256"], old["bytes"], old["rows"])
        opened = Opened(checked_bytes(self._material.store, file.key, file.sha256, file.bytes))
        before, after = mask_of(old, opened.rows), mask_of(new, opened.rows)
        tokens, gone = opened.tokens[before], ~after[before]
        if body.layout is Layout.PACKED:
            windows = windows_with(tokens.tolist(), length, gone.tolist())
            yield np.array(windows, dtype=np.int64) + first
            return
        streams = body.layout is Layout.STREAM
        sizes = tokens + 1 if streams else np.maximum(1, -(-tokens // length))
        ends = np.cumsum(sizes)
        spans = np.stack([ends - sizes, ends], axis=1)[gone] + first
        if streams:
            yield _between(spans, body, length)
        else:
            yield from (np.arange(low, high) for low, high in spans.tolist())


def _between(spans: Ints, body: Body, length: int) -> Ints:
    """Samples that hold a token of [first, stop) of the stream, as an input or as a label."""
    found = [np.zeros(0, dtype=np.int64)]
    for first, stop in spans.tolist():
        if stop > first:
            low, high = max(0, -((length - first) // length)), (stop - 1) // length
            found.append(np.arange(low, min(high, body.samples - 1) + 1))
    return np.unique(np.concatenate(found))


def _one(number: int) -> Ints:
    return np.array([number], dtype=np.int64)
