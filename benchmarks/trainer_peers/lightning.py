"""litdata: chunks of tokens, a dataset a source, combined by weights.

It knows no documents and makes no masks. Samples that the corpus has not are chunks named again:
links to the same files, listed in `index.json` as files of their own. For `resume` a state is taken
after one batch, and its counts of samples are raised to half of all by the weights: the state of a
run that went so far has the same form.
"""

import argparse
import json
import os
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trainer_peers.corpus import SHARES, sources
from benchmarks.trainer_peers.reports import SEED, Feed, measured, program, size_of

CHUNK_BYTES = 1 << 26
AT_ONCE = 1 << 20
"""Tokens that a worker of `optimize` writes at a time."""


def tokens_of(start: int, *, file: Path) -> Any:
    """Some tokens of a source."""
    import torch

    ids = np.load(file, mmap_mode="r")
    return torch.from_numpy(ids[start : start + AT_ONCE].astype(np.int32))


def prepare(arguments: argparse.Namespace) -> None:
    from litdata import TokensLoader, optimize

    block = arguments.length + 1
    for source in sources(arguments.corpus):
        folder = arguments.data / source.name
        folder.mkdir(parents=True)
        optimize(
            fn=partial(tokens_of, file=arguments.corpus / f"{source.name}.tokens.npy"),
            inputs=list(range(0, len(source.tokens), AT_ONCE)),
            output_dir=str(folder),
            chunk_size=CHUNK_BYTES // 4 // block * block,
            num_workers=1,
            item_loader=TokensLoader(block_size=block),
            verbose=False,
        )
        if arguments.samples:
            repeat(folder, int(arguments.samples * source.share * 1.02), block)


def repeat(folder: Path, samples: int, block: int) -> None:
    """List chunks again until there are so many samples."""
    path = folder / "index.json"
    index = json.loads(path.read_text())
    chunks: list[dict[str, Any]] = []
    count = 0
    for chunk in cycle(index["chunks"]):
        if count >= samples:
            break
        name = f"chunk-9-{len(chunks)}.bin"
        os.link(folder / chunk["filename"], folder / name)
        chunks.append({**chunk, "filename": name})
        count += chunk["dim"] // block
    path.write_text(json.dumps({**index, "chunks": chunks}))


def loader(arguments: argparse.Namespace) -> Any:
    from litdata import (
        CombinedStreamingDataset,
        StreamingDataLoader,
        StreamingDataset,
        TokensLoader,
    )

    found = [
        StreamingDataset(
            input_dir=str(arguments.data / name),
            item_loader=TokensLoader(block_size=arguments.length + 1),
            shuffle=True,
            drop_last=True,
            seed=SEED,
        )
        for name in SHARES
    ]
    weights = list(SHARES.values())
    combined = CombinedStreamingDataset(found, seed=SEED, weights=weights, iterate_over_all=False)
    return StreamingDataLoader(combined, batch_size=arguments.batch, num_workers=0)


def batches(given: Any) -> Iterator[Any]:
    while True:
        yield from given


def half_way(state: dict[str, Any], samples: int) -> dict[str, Any]:
    """The state of a loader that has given half of the samples."""
    counts = [int(samples / 2 * share) for share in SHARES.values()]
    state["num_samples_yielded"] = {0: counts}
    state["dataset"] = {
        number: {**one, "num_samples_yielded": count}
        for (number, one), count in zip(state["dataset"].items(), counts, strict=True)
    }
    return state


def measure(arguments: argparse.Namespace) -> None:
    import torch
    from litdata import StreamingDataset  # noqa: F401

    if arguments.masks:
        raise SystemExit("litdata makes no masks of documents")
    torch.set_num_threads(1)
    samples = int(arguments.samples) or _samples(arguments)
    state: dict[str, Any] = {}
    if arguments.case == "resume":
        before = loader(arguments)
        next(iter(before))
        state = half_way(before.state_dict(), samples)

    def load() -> Feed:
        found = loader(arguments)
        if state:
            found.load_state_dict(state)
        return Feed(
            system="litdata",
            samples=samples,
            batches=batches(found),
            tokens=lambda batch: batch.numel() - len(batch),
            index_bytes=partial(size_of, arguments.data, "index.json"),
        )

    measured(arguments, load)


def _samples(arguments: argparse.Namespace) -> int:
    found = 0
    for name in SHARES:
        index = json.loads((arguments.data / name / "index.json").read_text())
        found += sum(chunk["dim"] // (arguments.length + 1) for chunk in index["chunks"])
    return found


if __name__ == "__main__":
    program(__doc__, prepare, measure)
