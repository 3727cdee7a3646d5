"""What ranks compare before step 1: that all of them would be trained on the same.

Two digests. The manifest's own stands for the places of 4,096 positions, and is computed again. The
second one also stands for content: documents and ids of those among 4,096 other positions that are
in the first few shards, so that it takes as long over a large store as over a small one.
"""

import hashlib
import socket
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.build.probes import probe_digest
from manifests.errors import DataError, ScriptoriumError
from manifests.fingerprint import canonical_json
from manifests.locate.contents import Contents, body_of
from manifests.permutation import base_key, mix, permute
from manifests.segment_order import Places
from trainer.data.samples import PhaseData

Ints = npt.NDArray[np.int64]

PROBES = 4096
SHARDS = 32
"""Whose content is looked at."""
_TOGETHER = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a rank has to say: a digest, or why it has none."""

    digest: str
    error: str
    host: str


def check_ranks(data: PhaseData, *, count: int = PROBES, shards: int = SHARDS) -> str:
    """The content digest, when every rank has the same; all ranks have to call this together.

    Raises:
        DataError: The order is not the manifest's, files are broken, or a rank reads other data
            than most; says which.
    """
    try:
        check_order(data)
        mine = _Said(
            digest=content_digest(data, count=count, shards=shards),
            error="",
            host=socket.gethostname(),
        )
    except ScriptoriumError as error:
        # The others wait for this rank's word, whatever it is.
        mine = _Said(digest="", error=str(error), host=socket.gethostname())
    refuse_unequal(_told(mine), data.phase.name, count)
    return mine.digest


def check_order(data: PhaseData) -> None:
    """Raise DataError unless this program computes the order that the manifest was built with."""
    contents, name = Contents(data.manifest), data.phase.name
    found = probe_digest(data.phase, data.order, contents.table, contents.windows)
    if found != data.manifest.root.probes.get(name):
        raise DataError(
            f"manifest sha256:{data.manifest.digest[:12]}: the order of phase {name} is not the one"
            " that it was built with; look at it with manifest verify"
        )


def probe_positions(data: PhaseData, count: int = PROBES) -> Ints:
    """So many different positions of the phase, or all; the same on every machine."""
    size = data.samples
    key = mix(base_key("scriptorium.probe", data.manifest.digest, data.phase.name), np.array([0]))
    return permute(np.arange(min(count, size), dtype=np.int64), size, key)


def content_digest(data: PhaseData, *, count: int = PROBES, shards: int = SHARDS) -> str:
    """64 hex digits over position, shard and offset of the probe positions; and over document ids
    and token ids of those in the `shards` shards that come up first.
    """
    positions = probe_positions(data, count)
    located = data.locate(positions)
    _, first, which = np.unique(located.shard, return_index=True, return_inverse=True)
    read = np.argsort(np.argsort(first))[which] < shards
    digest = hashlib.sha256()
    columns = (positions.tolist(), located.shard.tolist(), located.offset.tolist())
    names = {number: data.shards.row(number).sha256 for number in np.unique(located.shard).tolist()}
    for position, shard, offset in zip(*columns, strict=True):
        digest.update(canonical_json([position, names[shard], offset]))
    contents = Contents(data.manifest)
    for start in range(0, int(read.sum()), _TOGETHER):
        part = positions[read][start : start + _TOGETHER]
        digest.update(canonical_json(_documents(data, contents, part)))
        batch = data.batch(part)
        digest.update(batch.tokens.astype("<i8").tobytes())
        digest.update(batch.labels[:, -1].astype("<i8").tobytes())
    return digest.hexdigest()


def refuse_unequal(said: list[_Said], phase: str, count: int = PROBES) -> None:
    """Raise DataError where a rank has an error, or another digest than most."""
    for rank, one in enumerate(said):
        if one.error:
            where = f"rank {rank} on {one.host}: " if len(said) > 1 else ""
            raise DataError(f"{where}{one.error}")
    usual, times = Counter(one.digest for one in said).most_common(1)[0]
    others = [f"{rank} on {one.host}" for rank, one in enumerate(said) if one.digest != usual]
    if others:
        ranks = f"rank{'s' if len(others) > 1 else ''} {', '.join(others)}"
        raise DataError(
            f"phase {phase}: {ranks} would be trained on other data than the other {times}, by"
            f" {count:,} probe positions; compare the root, the cache and the program there"
        )


def _documents(data: PhaseData, contents: Contents, positions: Ints) -> list[list[str]]:
    """Of each sample the ids of its documents."""
    places: Places = data.order.places(positions)
    found = []
    columns = (places.segment, places.supply, places.in_head, places.sample)
    for segment, supply, in_head, sample in zip(*(c.tolist() for c in columns), strict=True):
        body = body_of(data.phase.segments[segment].supplies[supply], in_head)
        spans = contents.spans(body, data.phase.sequence_length, sample)
        ids = [contents.documents(body.table, span.shard).ids[span.document] for span in spans]
        found.append([one.as_py() for one in ids])
    return found


def _told(mine: _Said) -> list[_Said]:
    """What all ranks say, by rank."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return [mine]
    found: list[_Said] = [mine] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found
