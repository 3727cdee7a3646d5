"""One of two ranks: everything about objectives that needs ranks, in one process group."""

import sys
from pathlib import Path

import torch

from manifests.objects.manifest import Manifest
from manifests.store import open_store
from tests.trainer import losses_logits, losses_model
from tests.trainer.ranks import answer
from trainer.model.parallel import Parallel, start, stop


def main(root: str, digest: str, cache: str) -> None:
    torch.set_num_threads(1)
    start(Parallel(data=2))
    logits = losses_logits.results()
    model = losses_model.results(Manifest(open_store(root), digest), Path(cache))
    answer({"logits": logits, "model": model})
    torch.distributed.barrier()
    stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
