"""Ours, as `benchmarks.trainer_peers` has the others: `PhaseData` over a manifest.

Its corpus is a root (`benchmarks.trainer_phase`), whose one token file is what the others read too;
its data folder is a machine's cache, and a link to the root. Cold is the first time a machine opens
a shard: it hashes the token file and makes the index of its documents. Warm is any later time.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trainer_peers.reports import Feed, measured, program

SPEED_SAMPLES = 10**6
"""Where no number is given: more than the corpus has, so that any global batch fits."""


def samples_of(arguments: argparse.Namespace) -> int:
    return int(arguments.samples) or SPEED_SAMPLES


def prepare(arguments: argparse.Namespace) -> None:
    from benchmarks.trainer_phase import make_phase

    make_phase(arguments.corpus, samples_of(arguments), arguments.length)
    arguments.data.mkdir(parents=True)
    (arguments.data / "root").symlink_to(arguments.corpus.resolve())


def load(arguments: argparse.Namespace) -> Feed:
    """From nothing open to batches from the first sample, or from half of them on."""
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store
    from trainer.data.samples import PhaseData

    store = open_store(str(arguments.data / "root"))
    name = f"samples{samples_of(arguments)}-of{arguments.length}"
    manifest = Manifest(store, Refs(store).resolve(name).digest)
    data = PhaseData(manifest, "pretrain", arguments.data / "cache")
    data.rules = replace(data.rules, apart=arguments.masks)
    first = data.samples // 2 if arguments.case == "resume" else 0
    return Feed(
        system="scriptorium",
        samples=data.samples,
        batches=batches(data, arguments.batch, first),
        tokens=lambda batch: int(batch.tokens.size),
        index_bytes=partial(index_bytes, data, arguments.data / "cache"),
    )


def batches(data: Any, size: int, first: int) -> Iterator[Any]:
    """The first alone, as it is asked for first; then one after another."""
    yield data.batch(np.arange(first, first + size, dtype=np.int64))
    yield from data.batches(_rows(data.samples, size, first + size))


def _rows(samples: int, size: int, first: int) -> Iterator[np.ndarray]:
    while True:
        yield np.arange(first, first + size, dtype=np.int64)
        first = (first + size) % (samples - size)


def index_bytes(data: Any, cache: Path) -> int:
    """The manifest, and an index of documents for every shard, as different shards would have."""
    from manifests.objects.manifest import needed
    from manifests.objects.ranges import ranges_of

    manifest = data.manifest
    tables = [ranges_of(manifest.objects, leaf.table.digest) for leaf in manifest.root.leaves]
    objects = sum(one.bytes for found in [needed(manifest.root), *tables] for one in found)
    (documents,) = cache.glob("documents/*/*")
    return objects + len(data.shards) * documents.stat().st_size


def measure(arguments: argparse.Namespace) -> None:

    import trainer.data.samples  # noqa: F401

    measured(arguments, partial(load, arguments))


if __name__ == "__main__":
    program(__doc__, prepare, measure)
