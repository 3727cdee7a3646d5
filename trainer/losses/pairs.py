"""The different pairs of a phase, numbered by leaf and place in it, and where each is trained on.

Everything follows from the manifest: the number of a pair is the same on every machine. A phase of
pairs has some hundred thousand positions, so that arrays over all of them are small.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.documents import Documents
from manifests.errors import ConfigError
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Body, Phase, source_of
from manifests.spec.types import Layout, fits

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePairs:
    """N different pairs; a pair that comes again in a further epoch is one."""

    phase: Phase
    bodies: tuple[tuple[str, Body], ...]
    """Leaf, and the shards that the pairs are of."""
    body: Ints
    """[N]: which of them; rising."""
    sample: Ints
    """[N]: number in an epoch of the body; rising within a body."""
    first: Ints
    """[N]: the first position with the pair."""
    index: Ints
    """[positions of the phase]: the number of the pair there."""

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first_tokens(self) -> int:
        """How many first tokens count of the responses of limited pairs."""
        return int(self.phase.train.get("first_tokens", 0))

    @property
    def limited(self) -> npt.NDArray[np.bool_]:
        """[N]: whether the fact `first_tokens` is about the pair."""
        if "first_tokens" not in self.phase.train:
            return np.zeros(len(self), dtype=np.bool_)
        pattern = str(self.phase.train.get("first_tokens_of", "*"))
        named = [fits(pattern, source_of(leaf)) for leaf, _ in self.bodies]
        return np.array(named, dtype=np.bool_)[self.body]


def phase_pairs(manifest: Manifest, phase: Phase) -> PhasePairs:
    """The pairs of a phase.

    Raises:
        ConfigError: A leaf is not laid out with a document a window.
    """
    bodies = tuple(dict.fromkeys(_bodies(phase)))
    for leaf, found in bodies:
        if found.layout is not Layout.DOCUMENT:
            raise ConfigError(
                f"phase {phase.name}: {leaf} is laid out as {found.layout}; pairs need"
                ' layout = "document"'
            )
    places = manifest.order(phase.name).places(np.arange(phase.samples, dtype=np.int64))
    body = _numbers(phase, bodies)[places.segment, places.supply, places.in_head.astype(np.int64)]
    width = int(places.sample.max()) + 1
    keys, first, index = np.unique(
        body * width + places.sample, return_index=True, return_inverse=True
    )
    return PhasePairs(
        phase=phase,
        bodies=bodies,
        body=keys // width,
        sample=keys % width,
        first=first.astype(np.int64),
        index=index.astype(np.int64),
    )


def _numbers(phase: Phase, bodies: Sequence[tuple[str, Body]]) -> Ints:
    """[segments, supplies, 2]: the number of the body, and of the head's body."""
    number = {found: at for at, found in enumerate(bodies)}
    widest = max(len(segment.supplies) for segment in phase.segments)
    table = np.zeros((len(phase.segments), widest, 2), dtype=np.int64)
    for at, segment in enumerate(phase.segments):
        for which, supply in enumerate(segment.supplies):
            table[at, which, 0] = number[supply.leaf, supply.body]
            if supply.head:
                table[at, which, 1] = number[supply.leaf, supply.head.body]
    return table


def _bodies(phase: Phase) -> Iterator[tuple[str, Body]]:
    for segment in phase.segments:
        for supply in segment.supplies:
            yield supply.leaf, supply.body
            if supply.head:
                yield supply.leaf, supply.head.body


NAMES = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("pair", pa.string()),  # id of the record
            ("leaf", pa.string()),
            ("shard", pa.string()),  # sha256 of the documents file
            ("document", pa.int64()),  # among the picked ones of the shard
        )
    ]
)


def names_of(contents: Contents, pairs: PhasePairs, start: int, stop: int) -> pa.Table:
    """Pairs start to stop (not included) as a person and other programs name them.

    Raises:
        ConfigError: A pair is longer than the window.
        DataError: A shard is not there, or broken.
    """
    found = []
    for number in np.unique(pairs.body[start:stop]).tolist():
        leaf, body = pairs.bodies[number]
        samples = pairs.sample[start:stop][pairs.body[start:stop] == number]
        # A pair has one window, so its number in the shard is that of its document.
        shards, documents = contents.windows(body, pairs.phase.sequence_length).shards(samples)
        for shard in np.unique(shards).tolist():
            held = contents.documents(body.table, shard)
            _check_lengths(pairs.phase, held)
            here = pa.array(documents[shards == shard])
            columns = {
                "pair": held.ids.take(here),
                "leaf": pa.repeat(leaf, len(here)),
                "shard": pa.repeat(contents.row(body.table, shard).sha256, len(here)),
                "document": here,
            }
            found.append(pa.table(columns, schema=NAMES))
    return pa.concat_tables(found)


def _check_lengths(phase: Phase, held: Documents) -> None:
    """A pair that goes on in a further window could not be compared."""
    longest = int(held.tokens.argmax())
    if held.tokens[longest] > phase.sequence_length:
        raise ConfigError(
            f"phase {phase.name}: pair {held.ids[longest]} has {held.tokens[longest]:,} tokens and"
            f" the window {phase.sequence_length:,}; leave such pairs out of their source with"
            f" where = {{ tokens = {{ max = {phase.sequence_length} }} }}, or take a longer window"
        )
