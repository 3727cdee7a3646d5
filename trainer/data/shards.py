"""The shards of a phase: which there are, and those that are open.

All bodies of the phase are laid end to end, so one search finds the shards of a batch: tokens of
what is cut from the stream, windows of the rest. A shard is opened when it is first touched.
"""

import os
import resource
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.documents import ShardRow
from manifests.errors import DataError
from manifests.locate.contents import Contents, body_of
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Body, Phase
from manifests.segment_order import Places
from manifests.spec.types import Layout
from manifests.store import open_store
from manifests.token_files import Ids
from trainer.data.document_index import DocumentIndex, open_index, runs_of
from trainer.data.token_files import TokenFiles

Ints = npt.NDArray[np.int64]

MOST_OPEN = 8192
"""Shards that are open at once, some 5 KB each; fewer where the process may open fewer files."""
_OPENERS = 8


class OpenShard:
    """A shard's documents with their ids, mapped."""

    def __init__(self, index: DocumentIndex, files: list[Ids], layout: Layout) -> None:
        self.index = index
        self.layout = layout
        self._files = files
        self._only: Ids | None = None
        if len(index.run_starts) == 1:
            at = int(index.run_at[0])
            self._only = files[0][at : at + index.places]

    def ids(self, place: int, count: int) -> Ids:
        """`count` ids from a place on."""
        if self._only is not None:
            return self._only[place : place + count]
        pieces: list[Ids] = [
            self._files[file][at : at + taken]
            for file, at, taken in runs_of(self.index, place, count)
        ]
        return joined(pieces)


class Shards:
    """The shards of a phase, by number. Not for several threads at once; may be forked."""

    def __init__(self, manifest: Manifest, phase: Phase, cache: Path) -> None:
        self._manifest = manifest
        self._length = phase.sequence_length
        self._cache = cache
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._most = _most_open()
        self._begin()
        self._lay_out(Contents(manifest), phase)

    def __len__(self) -> int:
        return len(self._ends)

    def find(self, places: Places) -> tuple[Ints, Ints]:
        """Of each sample the shard of its first token, and how far in it is: tokens or windows."""
        body = self._numbers[places.segment, places.supply, places.in_head.astype(np.intp)]
        at = self._base[body] + places.sample * self._unit[body]
        shard = np.searchsorted(self._ends, at, side="right").astype(np.int64)
        return shard, at - self._starts[shard]

    def shard(self, number: int) -> OpenShard:
        """The shard of this number, opened if it is not.

        Raises:
            DataError: A file is missing or broken, or not what the manifest counted.
        """
        found = self._open.get(number)
        if found is not None:
            self._open.move_to_end(number)
            return found
        return self._keep(number, self._opened(number))

    def open_ahead(self, shards: Ints) -> None:
        """Open what a batch needs for the first time, several at once: much of that is waiting."""
        if os.getpid() != self._process:
            # After a fork: connections to a store, and threads, are the parent's.
            store = open_store(self._manifest.store.url)
            self._manifest = Manifest(store, self._manifest.digest)
            self._begin()
        fresh = sorted(set(shards[~self._touched[shards]].tolist()))[: self._most // 2]
        if len(fresh) > 1:
            for number, found in zip(fresh, self._pool.map(self._opened, fresh), strict=True):
                self._keep(number, found)

    def row(self, number: int) -> ShardRow:
        """What the manifest says of the shard of this number."""
        body = self._body(number)
        table = self._tables[self._bodies[body].table]
        return ShardRow.of(table, number - int(self._first[body]))

    def vocabulary(self, number: int) -> int:
        """Ids that the tokenizer has, as a token file of a shard says."""
        name = self.shard(number).index.files[0]
        return self._tokens.facts(self.row(number).step, name).vocabulary

    def _begin(self) -> None:
        """What belongs to this process alone."""
        manifest = self._manifest
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(_OPENERS, thread_name_prefix="shards")
        self._tokens = TokenFiles(manifest.store, self._cache, manifest.root.tokenizer)

    def _lay_out(self, contents: Contents, phase: Phase) -> None:
        """Number bodies, and lay their shards end to end."""
        numbers = dict[Body, int]()
        widest = max(len(segment.supplies) for segment in phase.segments)
        self._numbers = np.zeros((len(phase.segments), widest, 2), dtype=np.intp)
        for s, segment in enumerate(phase.segments):
            for n, supply in enumerate(segment.supplies):
                for in_head in (False, True) if supply.head else (False,):
                    body = body_of(supply, in_head)
                    number = numbers.setdefault(body, len(numbers))
                    self._numbers[s, n, int(in_head)] = number
        self._bodies = list(numbers)
        self._tables: dict[str, pa.Table] = {
            table: contents.table(table) for table in dict.fromkeys(b.table for b in self._bodies)
        }
        sizes = [self._sizes_of(body) for body in self._bodies]
        counts = np.array([len(size) for size in sizes])
        self._first = np.cumsum(counts) - counts
        self._sizes = np.concatenate(sizes)
        self._ends = np.cumsum(self._sizes)
        self._starts = self._ends - self._sizes
        self._touched = np.zeros(len(self._ends), dtype=np.bool_)
        totals = np.array([int(size.sum()) for size in sizes])
        self._base = np.cumsum(totals) - totals
        stream = [body.layout is Layout.STREAM for body in self._bodies]
        self._unit = np.where(stream, phase.sequence_length, 1)

    def _sizes_of(self, body: Body) -> Ints:
        """Of each shard the tokens, or the windows where they are not cut from the stream."""
        if body.layout is not Layout.STREAM:
            return self._manifest.array(body.windows)
        # Not `to_numpy`, for which Arrow imports pandas: ten times as long as all of this.
        chunks = self._tables[body.table]["tokens"].chunks
        return np.concatenate([np.zeros(0, dtype=np.int64), *map(np.from_dlpack, chunks)])

    def _body(self, number: int) -> int:
        return int(self._first.searchsorted(number, "right")) - 1

    def _keep(self, number: int, found: OpenShard) -> OpenShard:
        self._open[number], self._touched[number] = found, True
        if len(self._open) > self._most:
            self._open.popitem(last=False)
        return found

    def _opened(self, number: int) -> OpenShard:
        row, layout = self.row(number), self._bodies[self._body(number)].layout
        index = open_index(self._manifest.store, row, layout, self._length, self._cache)
        files = [self._tokens.ids(row.step, name) for name in index.files]
        if not self._touched[number]:
            _refuse_other_sizes(row, index, files, layout, int(self._sizes[number]))
        return OpenShard(index, files, layout)


def joined(pieces: list[Ids]) -> Ids:
    """Ids end to end; without a copy where there is nothing to join."""
    return pieces[0] if len(pieces) == 1 else cast(Ids, np.concatenate(pieces))


def _refuse_other_sizes(
    row: ShardRow, index: DocumentIndex, files: list[Ids], layout: Layout, counted: int
) -> None:
    if index.size(layout) != counted:
        unit = "tokens" if layout is Layout.STREAM else "windows"
        raise DataError(
            f"{row.step}: shard {row.sha256}: {index.size(layout):,} {unit}, the manifest counts"
            f" {counted:,}"
        )
    stops = index.run_at + np.diff(index.run_starts, append=index.places)
    sizes = np.array([len(ids) for ids in files], dtype=np.int64)
    if (stops > sizes[index.run_files]).any():
        raise DataError(f"{row.step}: shard {row.sha256}: documents beyond their token file")


def _most_open() -> int:
    """As many as the process may open, of which half are left to others; asks for more first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_OPEN
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_OPEN if soft == resource.RLIM_INFINITY else min(MOST_OPEN, soft // 2)
