"""Checkpoints that two ranks write, their logits, and what Megatron loads of imported ones."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state

from tests.trainer.convert_world import LENGTH, ROPE_BASE, VOCABULARY, describe, model_of
from tests.trainer.ranks import answer
from trainer.convert.export import export_checkpoint
from trainer.convert.importing import import_model
from trainer.convert.parts import Names
from trainer.loop import checkpoint
from trainer.loop.disk import Disk
from trainer.model.build import build_model
from trainer.model.masks import attention, call
from trainer.model.parallel import Parallel, arrange, device, start, stop

CASES = {
    "untied": ("untied-fp32", Parallel(tensor=2)),
    "tied": ("tied-fp32", Parallel(tensor=2)),
    "staged": ("untied-fp32", Parallel(pipeline=2)),
    "tied_staged": ("tied-fp32", Parallel(pipeline=2)),
    "half": ("untied-bf16", Parallel(data=2)),
}


def model(file: Path, parallel: Parallel, seed: int) -> Any:
    arrange(parallel)
    config = model_of(file)
    (chunk,) = build_model(
        config, sequence_length=LENGTH, rope_base=ROPE_BASE, parallel=parallel, seed=seed
    )
    for name, parameter in sorted(chunk.named_parameters()):
        if "norm" in name:  # new ones are all alike, which hides what is mixed up
            torch.manual_seed(seed + len(name))
            parameter.data += 0.3 * torch.randn(parameter.shape)
    return chunk


def logits(chunk: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (2, LENGTH))
    starts = np.tile(np.array([0, LENGTH], np.int32), (2, 1))
    tensors = {
        "tokens": torch.from_numpy(ids),
        "position_ids": torch.arange(LENGTH).expand(2, LENGTH),
        **attention(starts, LENGTH, device()),
    }
    with torch.no_grad():
        part = call(chunk.eval(), tensors).contiguous()
    group = parallel_state.get_tensor_model_parallel_group()
    whole = [torch.empty_like(part) for _ in range(group.size())]
    torch.distributed.all_gather(whole, part, group=group)
    return torch.cat(whole, -1)[..., :VOCABULARY].float().numpy()


def differing(chunk: Any, before: dict[str, torch.Tensor]) -> int:
    """Elements of parameters that are not, to the bit, what they were; padding does not count."""
    found = 0
    for name, parameter in chunk.named_parameters():
        same = parameter.data.view(torch.uint8) == before[name].view(torch.uint8)
        if "word_embeddings" in name or "output_layer" in name:
            ranks = parallel_state.get_tensor_model_parallel_world_size()
            first = parallel_state.get_tensor_model_parallel_rank() * len(parameter)
            same = same[: max(0, VOCABULARY - first)]
            assert len(parameter) * ranks == 384, "rows are filled up to a multiple of 128"
        found += int((~same).sum())
    return found


def main() -> None:
    torch.set_num_threads(1)
    folder, root, manifest = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    start(Parallel(data=2))
    first = torch.distributed.get_rank() == 0
    found: dict[str, int] = {}
    for case, (name, parallel) in CASES.items():
        file, path = folder / f"{name}.toml", folder / case
        chunk = model(file, parallel, seed=5)
        if first:
            path.mkdir()
        torch.distributed.barrier()
        checkpoint.save(path, [chunk], None, Disk())
        if parallel.pipeline == 1 and name != "untied-bf16":
            whole = logits(chunk)
            if first:
                np.save(folder / f"{case}.npy", whole)
        kept = {name: parameter.data.clone() for name, parameter in chunk.named_parameters()}
        back = folder / f"{case}-back"
        if first:
            describe(path, file, manifest)
            names = Names.PHI3 if parallel.tensor == 2 else Names.LLAMA
            out = folder / f"{case}-{names}"
            export_checkpoint(path, out, root=root, names=names, config=str(file))
            import_model(out, back, config=str(file))
        torch.distributed.barrier()
        other = model(file, parallel, seed=6)
        checkpoint.load(back, [other], None)
        found[case] = differing(other, kept)
    answer(found)
    torch.distributed.barrier()
    stop()


if __name__ == "__main__":
    main()
