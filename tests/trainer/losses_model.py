"""A tiny model on one of two ranks: the reference's pass, the mean over a batch, learning pairs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from manifests.layout import reference_address, reference_commit_file
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from tests.manifests.tokened import Made
from tests.trainer.paired import LENGTH, judged, pivotal, unknown
from tests.trainer.tiny import tiny
from trainer.data.batch import Batch
from trainer.data.samples import PhaseData
from trainer.loop.machine import Machine, place_of
from trainer.loop.optimizer import build_optimizer
from trainer.loop.settings import Settings
from trainer.loop.step import forward, learn, means
from trainer.losses import reference_store
from trainer.losses.choose import objective
from trainer.losses.pairs import PhasePairs, names_of, phase_pairs
from trainer.losses.reference import Reference, open_reference
from trainer.losses.reference_pass import Frozen, reference_pass
from trainer.losses.reference_store import ReferenceStore
from trainer.model.parallel import Parallel

CPU = torch.device("cpu")
LAYOUTS = {"data": (1, 1), "tensor": (2, 1), "pipeline": (1, 2)}


def alone(model: Any, prompt: tuple[int, ...], response: tuple[int, ...]) -> float:
    """Log probability of a response after a prompt, with nothing else in the window."""
    ids = torch.tensor([[*prompt, *response]])
    causal = torch.triu(torch.ones(1, 1, ids.shape[1], ids.shape[1]), 1).bool()
    with torch.no_grad():
        logits = model(ids, torch.arange(ids.shape[1])[None], causal)
    logs = torch.log_softmax(logits[0].float(), -1)
    start = len(prompt)
    return sum(float(logs[start + n - 1, token]) for n, token in enumerate(response))


def expected(model: Any, made: Made, limit: int) -> list[float]:
    parts = {span.role: made.ids[span.start : span.stop] for span in made.spans}
    return [alone(model, parts["prompt"], parts[side][:limit]) for side in ("chosen", "rejected")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A phase of the manifest of pairs, and its pairs as they were made."""

    manifest: Manifest
    phase: Phase
    pairs: PhasePairs
    made: list[Made]
    """By the number of the pair."""
    data: PhaseData

    @classmethod
    def of(cls, manifest: Manifest, name: str, cache: Path) -> Self:
        known = {one.record.id: one for one in [*judged(), *unknown(), *pivotal()]}
        phase = manifest.phase(name)
        pairs = phase_pairs(manifest, phase)
        ids = names_of(Contents(manifest), pairs, 0, len(pairs))["pair"].to_pylist()
        made = [known[one] for one in ids]
        data = PhaseData(manifest, name, cache)
        return cls(manifest=manifest, phase=phase, pairs=pairs, made=made, data=data)

    def reference(self, chunk: Any, checkpoint: str) -> tuple[int, Reference]:
        """The slices that this rank did, and what all together found."""
        kept = ReferenceStore(
            store=self.manifest.store,
            manifest=self.manifest.digest,
            phase=self.phase.name,
            checkpoint=checkpoint,
            pairs=len(self.pairs),
        )
        kept.begin()
        frozen = Frozen(chunks=[chunk], device=CPU, batch_of=self.data.batch, micro_batch=3)
        missing = kept.missing()
        torch.distributed.barrier()  # both have seen it before one commits
        done = reference_pass(self.manifest, self.pairs, kept, frozen, missing)
        torch.distributed.barrier()
        return done, open_reference(self.manifest, self.phase, checkpoint)


def passes(planted: list[Planted]) -> dict[str, Any]:
    """What the pass finds on every layout, and what each response has alone."""
    results: dict[str, Any] = {}
    for layout, (tensor, pipeline) in LAYOUTS.items():
        chunk = tiny(LENGTH, tensor, pipeline)
        for one in planted:
            done, reference = one.reference(chunk, layout)
            results[f"{layout} {one.phase.name}"] = [done, reference.values.tolist()]
            if layout == "data":
                limits = [5 if limited else LENGTH for limited in one.pairs.limited]
                alone = [expected(chunk, *of) for of in zip(one.made, limits, strict=True)]
                results[f"alone {one.phase.name}"] = alone
    return results


def resumed(one: Planted) -> dict[str, Any]:
    """A pass of which one slice is lost, done again by a model of other weights."""
    chunk = tiny(LENGTH)
    _, before = one.reference(chunk, "resumed")
    torch.distributed.barrier()  # both have read it
    if torch.distributed.get_rank() == 0:
        address = reference_address(one.manifest.digest, one.phase.name, "resumed")
        one.manifest.store.delete(reference_commit_file(address, 1))
    torch.distributed.barrier()
    with torch.no_grad():
        for parameter in chunk.parameters():
            parameter.mul_(1.1)
    done, after = one.reference(chunk, "resumed")
    changed = (before.values != after.values).any(axis=1)
    return {"done": done, "changed": np.flatnonzero(changed).tolist()}


def uneven() -> Batch:
    """Four samples: two of a few learned tokens, two of many."""
    random = np.random.default_rng(6)
    ids = random.integers(0, 250, (4, LENGTH + 1))
    mask = np.zeros((4, LENGTH), dtype=np.float32)
    for row, count in enumerate((1, 2, 90, 100)):
        mask[row, 10 : 10 + count] = 1
    return Batch(
        tokens=ids[:, :-1],
        labels=ids[:, 1:],
        loss_mask=mask,
        position_ids=np.tile(np.arange(LENGTH), (4, 1)),
        cu_seqlens=np.tile(np.array([0, 40, LENGTH], dtype=np.int32), (4, 1)),
        max_seqlen=np.full(4, LENGTH - 40, dtype=np.int32),
        positions=np.arange(4),
        chosen=np.zeros((4, 2), dtype=np.int64),
        rejected=np.zeros((4, 2), dtype=np.int64),
    )


def rows(window: Batch, which: slice) -> Batch:
    names = ("tokens", "labels", "loss_mask", "position_ids", "cu_seqlens", "positions")
    return replace(window, **{name: getattr(window, name)[which] for name in names})


def gradients(chunk: Any) -> torch.Tensor:
    found = [p.main_grad.detach().reshape(-1).clone() for p in chunk.parameters()]
    return torch.cat(found)


def machine_of(chunk: Any, optimizer: Any = None) -> Machine:
    """The loop's machine around a chunk; two samples a micro batch."""
    return Machine(
        place=place_of(Parallel(data=2)),
        chunks=[chunk],
        optimizer=optimizer,
        distributed=False,
        device=CPU,
        sequence_length=LENGTH,
        micro_batch=2,
        flops_per_token=1.0,
        peak=None,
    )


def one_step(chunk: Any, window: Batch) -> tuple[float, torch.Tensor]:
    """Mean loss over all ranks, and the gradients that an optimizer would see."""
    chunk.zero_grad_buffer()
    chosen = objective({"loss": "assistant"})
    sums = forward(machine_of(chunk), chosen, iter([window]), 1, learn=True)
    return means(sums)["loss"], gradients(chunk)


def global_mean() -> dict[str, float]:
    """Two ranks, one with short answers and one with long ones, against one rank that has all."""
    rank = torch.distributed.get_rank()
    chunk = tiny(LENGTH)
    loss, found = one_step(chunk, rows(uneven(), slice(2 * rank, 2 * rank + 2)))
    plain = tiny(LENGTH).module
    whole, one = alone_on_one_rank(plain, [slice(0, 4)])
    _, naive = alone_on_one_rank(plain, [slice(0, 2), slice(2, 4)])
    return {
        "loss": abs(loss - whole),
        "gradient": float((found - one).abs().max()),
        "naive_gradient": float((naive - one).abs().max()),
    }


def alone_on_one_rank(plain: Any, parts: list[slice]) -> tuple[float, torch.Tensor]:
    """Mean over parts of the mean over tokens, and its gradient, without Megatron's schedule."""
    chosen = objective({"loss": "assistant"})
    tensors = chosen.tensors(uneven(), CPU)
    mask = tensors["loss_mask"]
    losses = chosen.forward(plain, tensors)
    mean = sum((losses[part] * mask[part]).sum() / mask[part].sum() for part in parts) / len(parts)
    found = torch.autograd.grad(mean, list(plain.parameters()))
    return mean.item(), torch.cat([gradient.reshape(-1) for gradient in found])


def learned(one: Planted, rate: float) -> dict[str, Any]:
    """A phase of pairs with the loop's own steps, on two data-parallel ranks."""
    rank = torch.distributed.get_rank()
    chunk = tiny(LENGTH)
    _, reference = one.reference(chunk, "before")
    settings = Settings(learning_rate=rate, weight_decay=0.0)
    machine = machine_of(chunk, build_optimizer([chunk], settings, bf16=False, distributed=False))
    chosen = objective(one.phase.train, reference)
    history = []
    for step in range(one.phase.steps):
        batch = one.data.batch(4 * step + 2 * rank + np.arange(2))
        sums, _ = learn(machine, chosen, iter([batch]), 1)
        history.append(means(sums))
    _, after = one.reference(chunk, "after")
    forms = [made.form.value for made in one.made]
    return {
        "first": history[0],
        "last": history[-1],
        "forms": forms,
        "before": reference.values.tolist(),
        "after": after.values.tolist(),
    }


def results(manifest: Manifest, cache: Path) -> dict[str, Any]:
    """Every check; a slice of the reference has seven pairs here."""
    reference_store.SLICE_PAIRS = 7
    pivotal_phase, response_phase = (Planted.of(manifest, name, cache) for name in ("dpo1", "dpo2"))
    return {
        "passes": passes([pivotal_phase, response_phase]),
        "resumed": resumed(response_phase),
        "global_mean": global_mean(),
        "dpo": learned(response_phase, 3e-3),
        "pivotal": learned(pivotal_phase, 3e-3),
    }
