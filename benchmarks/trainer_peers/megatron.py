"""Megatron-core: GPTDataset and BlendedDataset, through its own builder.

Cold is the first time in a cache folder, where indexes are built; warm is any later time. Samples
that the corpus has not are made of holes: `.idx` files that name the corpus's documents
again and again, over `.bin` files whose tokens are a hole of the file system (zeros).
"""

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trainer_peers.corpus import (
    END_OF_DOCUMENT,
    SHARES,
    VOCABULARY,
    sources,
)
from benchmarks.trainer_peers.reports import SEED, Feed, measured, program, size_of


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

    def load() -> Feed:
        found = dataset(arguments, samples, arguments.data / f"cache-{arguments.length}")
        begin = len(found) // 2 if arguments.case == "resume" else 0
        return Feed(
            system="megatron-core",
            samples=len(found),
            batches=batches(found, arguments.batch, begin),
            tokens=lambda batch: batch["tokens"].numel(),
            index_bytes=partial(size_of, arguments.data, "*.npy", "*.idx"),
        )

    measured(arguments, load)


def _samples(arguments: argparse.Namespace) -> int:
    """As many as there are tokens for, each once."""
    tokens = sum((arguments.data / f"{name}.bin").stat().st_size // 4 for name in SHARES)
    return int(tokens / arguments.length * 0.98)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    program(__doc__, prepare, measure)
