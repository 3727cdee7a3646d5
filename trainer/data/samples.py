"""The samples of a phase by position: what a manifest says is trained on there, as a batch.

Start-up follows the shards of the manifest, never its samples.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.store import open_store
from trainer.data.batch import Batch
from trainer.data.memory import Memory
from trainer.data.rows import Rows, Rules
from trainer.data.shards import Shards
from trainer.data.windows import fill

Ints = npt.NDArray[np.int64]

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


class PhaseData:
    """The samples of a phase. Not for several threads at once; may be pickled, and forked.

    `cache` is a folder of this machine's own, which all its processes share.

    Raises:
        ConfigError: There is no such phase, or its order or its facts are none that can be read.
    """

    def __init__(self, manifest: Manifest, phase_name: str, cache: Path) -> None:
        self.manifest = manifest
        self.phase = Contents(manifest).phase(phase_name)
        self.order = manifest.order(phase_name)
        self.rules = Rules.of(self.phase, manifest.root.tokenizer.end_of_document)
        self.shards = Shards(manifest, self.phase, cache)
        self._memory = Memory()
        self._cache = cache

    def __reduce__(self) -> tuple[object, ...]:
        named = (self.manifest.store.url, self.manifest.digest, self.phase.name, self._cache)
        return _reopened, named

    @property
    def samples(self) -> int:
        """Positions of the phase."""
        return self.phase.samples

    @property
    def vocabulary(self) -> int:
        """Ids that the tokenizer has, as a token file of the phase says; raises as `batch`."""
        return self.shards.vocabulary(int(self.locate(np.zeros(1, dtype=np.int64)).shard[0]))

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
        shard, offset = self.shards.find(self.order.places(positions))
        return Located(positions=positions, shard=shard, offset=offset)

    def assemble(self, located: Located) -> Batch:
        """The samples that were located."""
        self.shards.open_ahead(located.shard)
        rows = Rows(self.rules, located.positions, self._memory)
        pairs = zip(located.shard.tolist(), located.offset.tolist(), strict=True)
        for row, (number, offset) in enumerate(pairs):
            fill(rows, row, self.shards, number, offset, self.rules)
        return rows.batch()


def _reopened(url: str, digest: str, phase: str, cache: Path) -> PhaseData:
    return PhaseData(Manifest(open_store(url), digest), phase, cache)
