"""On two ranks: what needs torch and megatron. Answers with what was seen; the tests judge."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import ScriptoriumError
from manifests.objects.manifest import Manifest
from manifests.store import open_store
from tests.trainer.ranks import answer
from trainer.data.batch import Batch, torch_batch
from trainer.data.probes import check_ranks
from trainer.data.sampler import MicroBatches, load
from trainer.data.samples import PhaseData

FIELDS = ("tokens", "labels", "loss_mask", "position_ids")


def main(root: str, digest: str, other: str, cache: Path) -> None:
    import torch

    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    manifest = Manifest(open_store(root), digest)
    data = PhaseData(manifest, "pretrain", cache)
    found: dict[str, Any] = {"rank": rank, **compared(data, root, other, rank, cache)}
    if rank == 0:
        found |= {"zero_copy": shares_memory(data.batch(np.arange(3)))}
        found |= {"workers": by_workers(data, cache)}
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    if rank == 0:
        found |= {"built": built(root, digest, cache)}
    answer(found)


def compared(data: PhaseData, root: str, other: str, rank: int, cache: Path) -> dict[str, Any]:
    """The digest where all read the same, and what is said where rank 1 does not."""
    same = check_ranks(data)
    strange = PhaseData(Manifest(open_store(root), other), "pretrain", cache)
    broken = PhaseData(Manifest(open_store(root), data.manifest.digest), "pretrain", cache)
    if rank == 1:
        broken.shards._cache = Path("/proc/nowhere")
        broken.shards._tokens._cache = Path("/proc/nowhere")
    return {
        "digest": same,
        "differs": said(strange if rank == 1 else data),
        "broken": said(broken),
    }


def said(data: PhaseData) -> str:
    try:
        return check_ranks(data)
    except ScriptoriumError as error:
        return str(error)


def shares_memory(batch: Batch) -> bool:
    tensors = torch_batch(batch)
    return all(np.shares_memory(tensors[name].numpy(), getattr(batch, name)) for name in tensors)


def by_workers(data: PhaseData, cache: Path) -> list[bool]:
    """Whether any number of workers, however started, gives the batches that none gives."""
    rows = MicroBatches(order=data.order, start=3, stop=13, data_rank=0, data_size=2, micro_batch=2)
    alone = list(load(data, rows))
    asked = [(1, "fork"), (3, "fork"), (2, "forkserver")]
    same = []
    for workers, method in asked:
        found = list(load(data, rows, workers=workers, start_method=method))
        same.append(
            len(found) == len(alone)
            and all(
                np.array_equal(getattr(a, name), getattr(b, name))
                for a, b in zip(found, alone, strict=True)
                for name in (*FIELDS, "cu_seqlens", "positions")
            )
        )
    return [*same, error_of_worker(data, cache)]


def error_of_worker(data: PhaseData, cache: Path) -> bool:
    """A worker's error is the same one line that it is without workers; no worker is left."""
    strange = PhaseData(data.manifest, "pretrain", cache)
    strange.shards._cache = Path("/proc/nowhere")
    import multiprocessing

    try:
        list(load(strange, [np.array([0])], workers=1, start_method="fork"))
    except ScriptoriumError as error:
        return "\n" not in str(error) and not multiprocessing.active_children()
    return False


class Tokenizer:
    """What megatron asks of one."""

    vocab_size, eod, eos, pad = 260, 256, 256, 259
    unique_identifiers = {"name": "bytes"}  # noqa: RUF012


def built(root: str, digest: str, cache: Path) -> dict[str, Any]:
    """By megatron's stock builder: samples, how it collates, how long it took, what it refuses."""
    from megatron.core.datasets.blended_megatron_dataset_builder import (
        BlendedMegatronDatasetBuilder,
    )
    from megatron.core.datasets.gpt_dataset import GPTDatasetConfig
    from torch.utils.data import default_collate

    from trainer.data.megatron import ManifestDataset

    os.environ["SCRIPTORIUM_ROOT"] = root

    def build(phase: str = "pretrain", samples: int = 100, **changed: Any) -> Any:
        given = {
            "random_seed": 1,
            "sequence_length": 64,
            "blend": ([f"manifest://sha256:{digest}#{phase}"], None),
            "split": "1,0,0",
            "tokenizer": Tokenizer(),
            "reset_position_ids": False,
            "reset_attention_mask": False,
            "eod_mask_loss": False,
            "create_attention_mask": False,
            "path_to_cache": str(cache),
            **changed,
        }
        builder = BlendedMegatronDatasetBuilder(
            ManifestDataset, [samples, 0, 0], lambda: True, GPTDatasetConfig(**given)
        )
        return builder.build()[0]

    began = time.perf_counter()
    dataset = build()
    took = time.perf_counter() - began
    whole = dataset.dataset.batch(np.arange(len(dataset)))
    stacked = default_collate([dataset[n] for n in range(len(dataset))])
    masked = build(create_attention_mask=True)[5]
    filler = dataset[None]
    refused = []
    for asked in (
        {"sequence_length": 32},
        {"samples": 10**9},
        {"phase": "nothing"},
        {"blend": (["/data/text_document"], None)},
        {"path_to_cache": None},
    ):
        try:
            build(**asked)  # type: ignore[arg-type]
        except ScriptoriumError as error:
            refused.append(str(error))
    return {
        "seconds": took,
        "length": len(dataset),
        "fields": sorted(stacked),
        "same": [bool(np.array_equal(stacked[n].numpy(), getattr(whole, n))) for n in FIELDS],
        "cu_seqlens": [sorted({*row}) for row in stacked["cu_seqlens"].tolist()]
        == [sorted({*row}) for row in whole.cu_seqlens.tolist()],
        "shape": list(stacked["cu_seqlens"].shape),
        "max_seqlen": stacked["max_seqlen"].tolist() == whole.max_seqlen.tolist(),
        "mask": masked["attention_mask"].tolist() == [forbidden(whole, 5)],
        "filler": [float(filler["loss_mask"].sum()), filler["tokens"].tolist()]
        == [0.0, whole.tokens[0].tolist()],
        "refused": refused,
    }


def forbidden(batch: Batch, row: int) -> list[list[bool]]:
    """By loops: True where a place may not be seen from another."""
    starts = batch.cu_seqlens[row].tolist()
    segment = [sum(start <= place for start in starts) for place in range(64)]
    return [
        [there > here or segment[there] != segment[here] for there in range(64)]
        for here in range(64)
    ]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
