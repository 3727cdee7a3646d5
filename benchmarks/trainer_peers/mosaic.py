"""MosaicML streaming: MDS shards, a stream a source with its proportion, shuffle py1e.

Samples are windows, cut when the shards are written, so each length has its own. It knows no
documents and makes no masks. Samples that the corpus has not are shards named again: links to the
same files, listed in `index.json` as files of their own.
"""

import argparse
import json
import os
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.trainer_peers.corpus import SHARES, sources
from benchmarks.trainer_peers.reports import SEED, Feed, measured, program, size_of


def without_vision() -> None:
    """Import the package where torchvision has no operators.

    It imports torchvision for pictures, whose build without CUDA the package index may not have;
    that build's first import fails where the operators are not known by name.
    """
    import torch

    named = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        named.define(f"{name}(Tensor boxes) -> Tensor")
    globals()["_named"] = named  # names go with it


def prepare(arguments: argparse.Namespace) -> None:
    from streaming import MDSWriter

    length = arguments.length
    for source in sources(arguments.corpus):
        folder = arguments.data / source.name
        columns = {"tokens": f"ndarray:int32:{length + 1}"}
        with MDSWriter(out=str(folder), columns=columns, size_limit="64mb") as writer:
            for start in range(0, len(source.tokens) - length, length):
                window = source.tokens[start : start + length + 1]
                writer.write({"tokens": window.astype("int32")})
        if arguments.samples:
            repeat(folder, int(arguments.samples * source.share))


def repeat(folder: Path, samples: int) -> None:
    """List shards again until there are so many samples."""
    path = folder / "index.json"
    index = json.loads(path.read_text())
    shards: list[dict[str, Any]] = []
    count = 0
    for shard in cycle(index["shards"]):
        if count >= samples:
            break
        name = f"again.{len(shards):05d}.mds"
        os.link(folder / shard["raw_data"]["basename"], folder / name)
        shards.append({**shard, "raw_data": {**shard["raw_data"], "basename": name}})
        count += shard["samples"]
    path.write_text(json.dumps({**index, "shards": shards}))


def dataset(arguments: argparse.Namespace) -> Any:
    from streaming import Stream, StreamingDataset

    streams = [
        Stream(local=str(arguments.data / name), proportion=share) for name, share in SHARES.items()
    ]
    return StreamingDataset(
        streams=streams,
        epoch_size=int(arguments.samples) or None,
        batch_size=arguments.batch,
        shuffle=True,
        shuffle_algo="py1e",
        shuffle_seed=SEED,
        num_canonical_nodes=1,
    )


def batches(found: Any, size: int) -> Iterator[Any]:
    from streaming import StreamingDataLoader

    while True:
        yield from StreamingDataLoader(found, batch_size=size, num_workers=0)


def measure(arguments: argparse.Namespace) -> None:
    import torch
    from streaming import StreamingDataset  # noqa: F401
    from streaming.base.util import clean_stale_shared_memory

    if arguments.masks:
        raise SystemExit("MosaicML streaming makes no masks of documents")
    torch.set_num_threads(1)
    clean_stale_shared_memory()

    def load() -> Feed:
        found = dataset(arguments)
        if arguments.case == "resume":
            state = found.state_dict(found.epoch_size // 2, from_beginning=True)
            found.load_state_dict(state)
        return Feed(
            system="mosaicml-streaming",
            samples=int(found.epoch_size),
            batches=batches(found, arguments.batch),
            # A window has one token more than it has inputs.
            tokens=lambda batch: batch["tokens"].numel() - len(batch["tokens"]),
            index_bytes=partial(size_of, arguments.data, "index.json"),
        )

    measured(arguments, load)


if __name__ == "__main__":
    without_vision()
    program(__doc__, prepare, measure)
