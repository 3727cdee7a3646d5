"""Checks of models on one rank, in one process; forks see what breaks without a shim."""

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state
from megatron.core.optimizer import optimizer as megatron_optimizer
from megatron.core.transformer.dot_product_attention import DotProductAttention

from manifests.errors import ConfigError
from tests.trainer.model_checks import (
    CONFIG,
    LENGTH,
    VOCABULARY,
    count,
    losses,
    machine,
    model,
    window,
)
from tests.trainer.ranks import answer
from trainer.loop import checkpoint
from trainer.loop.disk import Disk
from trainer.model import build, initial, shims
from trainer.model.config import ModelConfig, Recompute
from trainer.model.leak import check_no_leak
from trainer.model.masks import attention, call, dense_mask
from trainer.model.memory import Layout, layer_activations
from trainer.model.parallel import Parallel, start, stop
from trainer.model.parameters import parameters

ALONE = Parallel()
CPU = torch.device("cpu")


def with_cuda() -> list[Any]:
    """What the shims do where there is CUDA: which are installed, and what is patched."""
    patched = [
        lambda: torch.cuda.current_device,
        lambda: torch.cuda.synchronize,
        lambda: torch.cuda.manual_seed,
        lambda: torch.nn.Parameter.type,
        lambda: megatron_optimizer.clip_grad_by_total_norm_fp32,
    ]
    before = [get() for get in patched]
    stock, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    try:
        installed = shims.install()
    finally:
        torch.cuda.is_available = stock
    return [list(installed), [get() for get in patched] == before]


def without(shim: str) -> str:
    """Train and save in a fork that lacks a shim: the file of Megatron where it breaks, or ''."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        told = ""
        try:
            shims.install(leave_out={shim})
            start(ALONE)
            ready = machine(ALONE, distributed=True)
            losses(ready, ALONE, range(1))
            checkpoint.save(Path(mkdtemp()), ready.chunks, ready.optimizer, Disk())
        except BaseException as error:
            places = [at.filename for at in traceback.extract_tb(error.__traceback__)]
            told = [place for place in places if "megatron/core" in place][-1]
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = json.loads(pipe.read())
    os.waitpid(child, 0)
    return str(told)


def counts() -> dict[str, list[int]]:
    configs = {"untied": CONFIG, "tied": replace(CONFIG, tied=True)}
    return {name: [count(model(ALONE, one)), parameters(one)] for name, one in configs.items()}


def masks() -> bool:
    """The dense mask against its definition, place by place."""
    random = np.random.default_rng(1)
    for _ in range(20):
        inner = np.sort(random.integers(0, LENGTH + 1, (3, 4)))
        starts = np.hstack([np.zeros((3, 1)), inner, np.full((3, 1), LENGTH)]).astype(np.int32)
        found = dense_mask(torch.from_numpy(starts), LENGTH).numpy()
        for row, bounds in enumerate(starts):
            of = np.searchsorted(bounds, np.arange(LENGTH), side="right")
            for query in range(LENGTH):
                for key in range(LENGTH):
                    hidden = key > query or of[key] != of[query]
                    if found[row, 0, query, key] != hidden:
                        return False
    return True


def leaks() -> dict[str, Any]:
    """The check on a sound model, and on two whose attention does not obey its mask."""
    built = model(ALONE)
    sound = check_no_leak(built, LENGTH, VOCABULARY)
    stock = DotProductAttention.forward
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)[None, None]

    def refusal(mask: torch.Tensor) -> str:
        def forward(self: Any, query: Any, key: Any, value: Any, _: Any, *a: Any, **k: Any) -> Any:
            return stock(self, query, key, value, mask.expand(len(query[0]), -1, -1, -1), *a, **k)

        DotProductAttention.forward = forward
        try:
            check_no_leak(built, LENGTH, VOCABULARY)
        except ConfigError as error:
            return str(error)
        finally:
            DotProductAttention.forward = stock
        return ""

    return {
        "across": sound.across,
        "backwards": sound.backwards,
        "causal": sound.causal,
        "training": built[0].training,
        "causal_only": refusal(causal),
        "no_mask": refusal(torch.zeros_like(causal)),
    }


def normal() -> dict[str, float]:
    """Moments of the numbers, and that a part of a row is that part."""
    places = torch.arange(200_000)
    numbers = initial.normal(7, places)
    other = initial.normal(8, places)
    return {
        "mean": float(numbers.mean()),
        "deviation": float(numbers.std()),
        "fourth": float((numbers**4).mean()),
        "neighbours": float((numbers[1:] * numbers[:-1]).mean()),
        "other_key": float((numbers * other).mean()),
        "part": float((initial.normal(7, places[500:600]) - numbers[500:600]).abs().max()),
    }


def deviations() -> dict[str, float]:
    wide = replace(CONFIG, hidden=256, ffn=512)
    named = model(ALONE, wide)[0].named_parameters()
    return {name: float(value.detach().std(correction=0)) for name, value in named}


def loss_of(chunks: list[Any]) -> float:
    batch = window([0, 1])
    tensors = {
        "tokens": torch.from_numpy(batch.tokens),
        "position_ids": torch.from_numpy(batch.position_ids),
        **attention(batch.cu_seqlens, LENGTH, CPU),
    }
    with torch.no_grad():
        return float(call(chunks[0], tensors, torch.from_numpy(batch.labels)).mean())


def bases() -> list[float]:
    """The loss by the rotary base: the configuration's, the same of a phase, another."""
    return [loss_of(model(ALONE, rope_base=base)) for base in (None, 10_000.0, 250_000.0)]


def saved_bytes(config: ModelConfig, recompute: Recompute, length: int) -> int:
    """What autograd keeps in a forward pass, weights left out."""
    (chunk,) = build.build_model(
        config, sequence_length=length, parallel=ALONE, recompute=recompute
    )
    weights = {parameter.untyped_storage().data_ptr() for parameter in chunk.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    tokens = torch.zeros(2, length, dtype=torch.int64)
    starts = np.tile(np.array([0, 20, length], np.int32), (2, 1))
    tensors = {
        "tokens": tokens,
        "position_ids": torch.arange(length).expand(2, -1),
        **attention(starts, length, CPU),
    }
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = call(chunk, tensors, tokens)
    sizes = sum(storage.nbytes() for storage in kept.values())
    del output
    return sizes


def activations() -> dict[str, list[float]]:
    """Bytes a token that a layer keeps: measured, and by arithmetic."""
    length = 64
    shape = ModelConfig(
        layers=1, hidden=128, ffn=320, heads=8, kv_heads=2, head_dim=16, vocabulary=512
    )
    found = {}
    for recompute in Recompute:
        one, three = (
            saved_bytes(replace(shape, layers=layers), recompute, length) for layers in (1, 3)
        )
        layout = Layout(parallel=ALONE, sequence_length=length, recompute=recompute, packed=False)
        measured = (three - one) / 2 / (2 * length)
        found[recompute.value] = [measured, layer_activations(shape, layout), shape.hidden]
    return found


def packed() -> dict[str, Any]:
    """What a model of Transformer Engine is called with, by a stand-in: there is none here."""
    got: dict[str, Any] = {}

    def model(**given: Any) -> torch.Tensor:
        got.update(given)
        return given["input_ids"].float()

    tensors = {
        "tokens": torch.arange(12).reshape(2, 6),
        "position_ids": torch.arange(6).expand(2, -1),
        "cu_seqlens": torch.tensor([0, 4, 6, 12]),
        "max_seqlen": torch.tensor(6),
    }
    output = call(model, tensors, tensors["tokens"] + 1)
    params = got["packed_seq_params"]
    return {
        "same": torch.equal(output, tensors["tokens"].float()),
        "labels": got["labels"].tolist(),
        "position_ids": got["position_ids"].tolist(),
        "mask": got["attention_mask"],
        "starts": [params.cu_seqlens_q.tolist(), params.cu_seqlens_kv.tolist()],
        "longest": [params.max_seqlen_q, params.max_seqlen_kv],
        "format": params.qkv_format,
    }


def fp32_with_transformer_engine() -> str:
    stock, build.has_transformer_engine = build.has_transformer_engine, lambda: True
    try:
        build.transformer_config(CONFIG, ALONE, Recompute.NONE)
    except ConfigError as error:
        return str(error)
    finally:
        build.has_transformer_engine = stock
    return ""


def trained() -> dict[str, Any]:
    bf16 = replace(CONFIG, precision="bf16")
    made: dict[str, Callable[[], Any]] = {
        "plain": lambda: machine(ALONE),
        "tied": lambda: machine(ALONE, replace(CONFIG, tied=True)),
        "selective": lambda: machine(ALONE, recompute=Recompute.SELECTIVE),
        "full": lambda: machine(ALONE, recompute=Recompute.FULL),
        "bf16": lambda: machine(ALONE, bf16),
        "dropout": lambda: machine(ALONE, replace(CONFIG, dropout=0.3)),
    }
    return {name: losses(make(), ALONE, range(2)) for name, make in made.items()}


def main() -> None:
    torch.set_num_threads(1)
    os.environ.pop("RANK")
    found: dict[str, Any] = {"with_cuda": with_cuda()}
    found["without"] = {name: without(name) for name in ["", *(s.name for s in shims.SHIMS)]}
    start(ALONE)
    found |= {
        "counts": counts(),
        "masks": masks(),
        "leaks": leaks(),
        "normal": normal(),
        "deviations": deviations(),
        "bases": bases(),
        "packed": packed(),
        "fp32_with_transformer_engine": fp32_with_transformer_engine(),
        "activations": activations(),
        "trained": trained(),
    }
    answer(found)
    stop()
    assert not parallel_state.model_parallel_is_initialized()


if __name__ == "__main__":
    main()
