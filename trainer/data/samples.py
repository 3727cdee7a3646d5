"""The samples of a phase by position: what a manifest says is trained on there, as a batch.

Start-up follows the shards of the manifest, never its samples: all bodies of the phase are laid end
to end, so one search finds the shards of a batch. A shard is opened when it is first touched.
"""

import os
import resource
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.documents import ShardRow
from manifests.errors import DataError
from manifests.locate.contents import Contents, body_of
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Body
from manifests.spec.types import Layout
from manifests.store import open_store
from manifests.token_files import Ids
from trainer.data.batch import Batch
from trainer.data.document_index import DocumentIndex, open_index, runs_of
from trainer.data.memory import Memory
from trainer.data.rows import Rows, Rules
from trainer.data.token_files import TokenFiles

Ints = npt.NDArray[np.int64]

MOST_OPEN = 8192
"""Shards that are open at once, some 5 KB each; fewer where the process may open fewer files."""
_OPENERS = 8
_AHEAD = 512
"""Positions that are located together when many batches are asked for: locating one alone takes
nearly as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Samples, and where their first tokens are."""

    positions: Ints
    shard: Ints
    """Number among the shards of all bodies."""
    offset: Ints
    """In the shard: tokens, or windows where they are not cut from the stream."""


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
        return _joined(pieces)


class PhaseData:
    """The samples of a phase. Not for several threads at once; may be pickled, and forked.

    `cache` is a folder of this machine's own, which all its processes share.

    Raises:
        ConfigError: There is no such phase, or its order or its facts are none that can be read.
    """

    def __init__(self, manifest: Manifest, phase_name: str, cache: Path) -> None:
        contents = Contents(manifest)
        self.manifest = manifest
        self.phase = contents.phase(phase_name)
        self.order = manifest.order(phase_name)
        self.rules = Rules.of(self.phase, manifest.root.tokenizer.end_of_document)
        self._process = os.getpid()
        self._pool = _openers()
        self._memory = Memory()
        self._cache = cache
        self._tokens = TokenFiles(manifest.store, cache, manifest.root.tokenizer)
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._most = _most_open()
        self._lay_out(contents)

    def __reduce__(self) -> tuple[object, ...]:
        named = (self.manifest.store.url, self.manifest.digest, self.phase.name, self._cache)
        return _reopened, named

    @property
    def samples(self) -> int:
        """Positions of the phase."""
        return self.phase.samples

    @property
    def shards(self) -> int:
        """Of all bodies of the phase."""
        return len(self._ends)

    @property
    def vocabulary(self) -> int:
        """Ids that the tokenizer has, as a token file of the phase says; raises as `batch`."""
        number = int(self.locate(np.zeros(1, dtype=np.int64)).shard[0])
        name = self.shard(number).index.files[0]
        return self._tokens.facts(self.row(number).step, name).vocabulary

    def batch(self, positions: Ints) -> Batch:
        """The samples at these positions, in any order.

        Raises:
            IndexError: A position that the phase does not have.
            NotInStore: A file is not there.
            DataError: A file is broken.
        """
        return self.assemble(self.locate(positions))

    def batches(self, rows: Iterable[Ints]) -> Iterator[Batch]:
        """A batch for each of these arrays of positions; many small ones cost less so."""
        return map(self.assemble, self.located(rows))

    def located(self, rows: Iterable[Ints]) -> Iterator[Located]:
        """Where the samples of each of these arrays of positions are."""
        left = iter(rows)
        while first := list(islice(left, 1)):
            more = max(0, _AHEAD // max(1, len(first[0])) - 1)
            group = [*first, *islice(left, more)]
            found = self.locate(np.concatenate(group))
            cuts = np.cumsum([len(one) for one in group])[:-1]
            columns = (found.positions, found.shard, found.offset)
            for positions, shard, offset in zip(*(np.split(c, cuts) for c in columns), strict=True):
                yield Located(positions=positions, shard=shard, offset=offset)

    def locate(self, positions: Ints) -> Located:
        """Where these samples are; no file is opened."""
        positions = np.asarray(positions, dtype=np.int64)
        places = self.order.places(positions)
        body = self._numbers[places.segment, places.supply, places.in_head.astype(np.intp)]
        at = self._base[body] + places.sample * self._unit[body]
        shard = np.searchsorted(self._ends, at, side="right")
        return Located(positions=positions, shard=shard, offset=at - self._starts[shard])

    def assemble(self, located: Located) -> Batch:
        """The samples that were located."""
        if os.getpid() != self._process:
            self._leave_parent()
        self._open_ahead(located.shard)
        rows = Rows(self.rules, located.positions, self._memory)
        pairs = zip(located.shard.tolist(), located.offset.tolist(), strict=True)
        for row, (number, offset) in enumerate(pairs):
            shard = self.shard(number)
            if shard.layout is Layout.STREAM:
                self._stream(rows, row, number, offset)
            else:
                self._window(rows, row, shard, offset)
        return rows.batch()

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

    def row(self, number: int) -> ShardRow:
        """What the manifest says of the shard of this number."""
        body = int(self._first.searchsorted(number, "right")) - 1
        table = self._tables[self._bodies[body].table]
        return ShardRow.of(table, number - int(self._first[body]))

    def _leave_parent(self) -> None:
        """After a fork: connections to a store are not to be shared."""
        self.manifest = Manifest(open_store(self.manifest.store.url), self.manifest.digest)
        tokenizer = self.manifest.root.tokenizer
        self._tokens = TokenFiles(self.manifest.store, self._cache, tokenizer)
        self._process = os.getpid()
        self._pool = _openers()

    def _lay_out(self, contents: Contents) -> None:
        """Number bodies, and lay their shards end to end: tokens of streams, windows of others."""
        phase, numbers = self.phase, dict[Body, int]()
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
        sizes = [self._sizes(body) for body in self._bodies]
        counts = np.array([len(size) for size in sizes])
        self._first = np.cumsum(counts) - counts
        self._sizes_of = np.concatenate(sizes)
        self._ends = np.cumsum(self._sizes_of)
        self._starts = self._ends - self._sizes_of
        self._touched = np.zeros(len(self._ends), dtype=np.bool_)
        totals = np.array([int(size.sum()) for size in sizes])
        self._base = np.cumsum(totals) - totals
        length = phase.sequence_length
        self._unit = np.array([length if b.layout is Layout.STREAM else 1 for b in self._bodies])

    def _sizes(self, body: Body) -> Ints:
        """Of each shard the tokens, or the windows where they are not cut from the stream."""
        if body.layout is not Layout.STREAM:
            return self.manifest.array(body.windows)
        return np.asarray(self._tables[body.table]["tokens"].to_numpy(), dtype=np.int64)

    def _open_ahead(self, shards: Ints) -> None:
        """Open what a batch needs for the first time, several at once: much of that is waiting."""
        fresh = np.unique(shards[~self._touched[shards]]).tolist()[: self._most // 2]
        if len(fresh) > 1:
            for number, found in zip(fresh, self._pool.map(self._opened, fresh), strict=True):
                self._keep(number, found)

    def _keep(self, number: int, found: OpenShard) -> OpenShard:
        self._open[number], self._touched[number] = found, True
        if len(self._open) > self._most:
            self._open.popitem(last=False)
        return found

    def _opened(self, number: int) -> OpenShard:
        row = self.row(number)
        layout = self._bodies[int(self._first.searchsorted(number, "right")) - 1].layout
        length = self.rules.length
        index = open_index(self.manifest.store, row, layout, length, self._cache)
        files = [self._tokens.ids(row.step, name) for name in index.files]
        if not self._touched[number]:
            self._refuse_other_sizes(number, row, index, files, layout)
        return OpenShard(index, files, layout)

    def _refuse_other_sizes(
        self, number: int, row: ShardRow, index: DocumentIndex, files: list[Ids], layout: Layout
    ) -> None:
        if index.size(layout) != (counted := int(self._sizes_of[number])):
            unit = "tokens" if layout is Layout.STREAM else "windows"
            raise DataError(
                f"{row.step}: shard {row.sha256}: {index.size(layout):,} {unit}, the manifest"
                f" counts {counted:,}"
            )
        stops = index.run_at + np.diff(index.run_starts, append=index.places)
        sizes = np.array([len(ids) for ids in files], dtype=np.int64)
        if (stops > sizes[index.run_files]).any():
            raise DataError(f"{row.step}: shard {row.sha256}: documents beyond their token file")

    def _stream(self, rows: Rows, row: int, number: int, place: int) -> None:
        """A window of the stream: L + 1 ids from a place of a shard on, into the next shards."""
        missing, column = self.rules.length + 1, 0
        pieces: list[Ids] = []
        while missing:
            shard = self.shard(number)
            count = min(missing, shard.index.places - place)
            if count:
                pieces.append(shard.ids(place, count))
                self._mark(rows, row, column, shard.index, place, count)
            missing, column = missing - count, column + count
            number, place = number + 1, 0
        rows.put(row, 0, _joined(pieces))

    def _mark(
        self, rows: Rows, row: int, column: int, index: DocumentIndex, place: int, count: int
    ) -> None:
        """Where documents end among the ids [place, place + count), the first in this column."""
        low, high = index.ends.searchsorted((place, place + count), "right").tolist()
        if low < high:
            rows.ends(row, index.ends[low:high] + (column - place))
        self._learn(rows, row, column, index, place, count)

    def _learn(
        self, rows: Rows, row: int, column: int, index: DocumentIndex, place: int, count: int
    ) -> None:
        """Which labels of the ids [place, place + count), the first in this column, are learned."""
        first, stop = place + 1, place + count
        if self.rules.all_learned or not len(index.learned):
            found = np.array([[first, stop]])
            if self.rules.length + 1 == count:
                return rows.learn_all(row)
        else:
            low = int(index.learned[:, 1].searchsorted(first, "right"))
            high = int(index.learned[:, 0].searchsorted(stop, "left"))
            found = np.clip(index.learned[low:high], first, stop)
        # The id at a place is the label one column before its own.
        return rows.learn(row, found + (column - first))

    def _window(self, rows: Rows, row: int, shard: OpenShard, window: int) -> None:
        """A window of spans of documents; what they leave free is padding."""
        index, column = shard.index, 0
        low, high = index.window_spans[window : window + 2].tolist()
        for place, count in index.spans[low:high].tolist():
            if count > 1:
                self._learn(rows, row, column, index, place, count)
                self._document(rows, row, column, index, place, count)
                column = rows.put(row, column, shard.ids(place, count))
                rows.begins(row, column)
        rows.pad(row, column)
        if column < self.rules.length:
            rows.learn(row, np.zeros((0, 2), dtype=np.int64))

    def _document(
        self, rows: Rows, row: int, column: int, index: DocumentIndex, place: int, count: int
    ) -> None:
        """What a span's document says of its labels: its end, and the halves of a pair."""
        document = int(index.ends.searchsorted(place, "right"))
        if not self.rules.learn_end and int(index.ends[document]) == place + count:
            rows.unlearn(row, column + count - 2)
        if len(index.pairs) and index.pairs[document].any():
            start = int(index.ends[document - 1]) if document else 0
            shift = column - (place - start)
            rows.pair(row, shift, index.pairs[document])
            second = int(index.pairs[document, 4]) + shift
            if second > max(column, shift) and second < column + count - 1:
                rows.begins(row, second)
                rows.unlearn(row, second - 1)


def _joined(pieces: list[Ids]) -> Ids:
    return pieces[0] if len(pieces) == 1 else cast(Ids, np.concatenate(pieces))


def _openers() -> ThreadPoolExecutor:
    """Threads that begin when there is something to open."""
    return ThreadPoolExecutor(_OPENERS, thread_name_prefix="shards")


def _most_open() -> int:
    """As many as the process may open, of which half are left to others; asks for more first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_OPEN
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_OPEN if soft == resource.RLIM_INFINITY else min(MOST_OPEN, soft // 2)


def _reopened(url: str, digest: str, phase: str, cache: Path) -> PhaseData:
    return PhaseData(Manifest(open_store(url), digest), phase, cache)
