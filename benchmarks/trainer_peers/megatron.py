"""Megatron-core: GPTDataset and BlendedDataset, through its own builder.

Cold is the first time in a cache folder, where indexes are built; warm is any later time. Samples
that the corpus has not are made of holes: `.idx` files that name the corpus's documents
again and again, over `.bin` files whose tokens are a hole of the file system (zeros).
"""

import argparse
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trainer_peers.corpus import (
    END_OF_DOCUMENT,
    SHARES,
    VOCABULARY,
    sources,
)
from benchmarks.trainer_peers.reports import (
    SEED,
    Report,
    Watched,
    delivered,
    options,
    size_of,
    tell,
)


class Ids:
    """What GPTDatasetConfig asks of a tokenizer."""

    vocab_size = VOCABULARY
    eod = eos = END_OF_DOCUMENT
    pad = VOCABULARY - 1
    unique_identifiers = {"class": "Ids"}  # noqa: RUF012  # read by Megatron


def prepare(arguments: argparse.Namespace) -> None:
    from megatron.core.datasets.indexed_dataset import DType, _IndexWriter

    arguments.data.mkdir(parents=True)
    kind = DType.optimal_dtype(VOCABULARY)
    for source in sources(arguments.corpus):
        prefix = arguments.data / source.name
        lengths = source.lengths
        with prefix.with_suffix(".bin").open("wb") as file:
            if arguments.samples:
                wanted = arguments.samples * source.share * arguments.length * 1.02
                lengths = np.tile(lengths, -(-int(wanted) // int(lengths.sum())))
                file.truncate(int(lengths.sum()) * np.dtype(kind).itemsize)
            else:
                source.tokens.astype(kind).tofile(file)
        with _IndexWriter(str(prefix.with_suffix(".idx")), kind) as writer:
            writer.write(lengths.tolist(), None, list(range(len(lengths) + 1)))


def dataset(arguments: argparse.Namespace, samples: int, cache: Path) -> Any:
    from megatron.core.datasets.blended_megatron_dataset_builder import (
        BlendedMegatronDatasetBuilder,
    )
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    config = GPTDatasetConfig(
        random_seed=SEED,
        sequence_length=arguments.length,
        blend=([str(arguments.data / name) for name in SHARES], list(SHARES.values())),
        split="1,0,0",
        path_to_cache=str(cache),
        tokenizer=Ids(),
        reset_position_ids=arguments.masks,
        reset_attention_mask=arguments.masks,
        eod_mask_loss=False,
        create_attention_mask=arguments.masks,
    )
    sizes = [samples, 0, 0]
    builder = BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config)
    return builder.build()[0]


def batches(found: Any, size: int, begin: int) -> Iterator[Any]:
    from torch.utils.data import default_collate

    while True:
        for start in range(begin, len(found) - size, size):
            yield default_collate([found[at] for at in range(start, start + size)])


def measure(arguments: argparse.Namespace) -> None:
    import torch
    from megatron.core.datasets import blended_megatron_dataset_builder, gpt_dataset  # noqa: F401

    torch.set_num_threads(1)
    alone = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=alone, rank=0, world_size=1)
    samples = int(arguments.samples) or _samples(arguments)
    cache = arguments.data / f"cache-{arguments.length}"
    warm = cache.exists()
    watched = Watched.start()
    found = dataset(arguments, samples, cache)
    begin = len(found) // 2 if arguments.case == "resume" else 0
    given = batches(found, arguments.batch, begin)
    next(given)
    seconds, peak = watched.seconds(), watched.peak()
    shared = {
        "system": "megatron-core",
        "samples": len(found),
        "length": arguments.length,
        "index_bytes": size_of(arguments.data, "*.npy", "*.idx"),
    }
    if arguments.case == "deliver":
        rate = delivered(given, lambda batch: batch["tokens"].numel(), arguments.seconds)
        case = "deliver masks" if arguments.masks else "deliver"
        tell(Report(case=case, tokens_per_s=rate, **shared))
    elif arguments.case == "resume":
        tell(Report(case="resume", resume_s=seconds, peak_bytes=peak, **shared))
    else:
        case = "first warm" if warm else "first cold"
        tell(Report(case=case, first_batch_s=seconds, peak_bytes=peak, **shared))


def _samples(arguments: argparse.Namespace) -> int:
    """As many as there are tokens for, each once."""
    tokens = sum((arguments.data / f"{name}.bin").stat().st_size // 4 for name in SHARES)
    return int(tokens / arguments.length * 0.98)


def main() -> None:
    warnings.filterwarnings("ignore")
    arguments = options(__doc__ or "").parse_args()
    if arguments.command == "prepare":
        shutil.rmtree(arguments.data, ignore_errors=True)
        prepare(arguments)
    else:
        measure(arguments)


if __name__ == "__main__":
    main()
