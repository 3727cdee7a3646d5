"""What a phase begins with: weights and optimizer from a checkpoint, and what it learns by."""

from trainer.data.samples import PhaseData
from trainer.loop import checkpoint
from trainer.loop.machine import Machine
from trainer.loop.ranks import barrier, from_first
from trainer.loop.state import Origin
from trainer.loop.task import Task
from trainer.losses.choose import needs_reference, objective
from trainer.losses.objective import Objective
from trainer.losses.pairs import phase_pairs
from trainer.losses.reference import checkpoint_digest, open_reference
from trainer.losses.reference_pass import Frozen, reference_pass
from trainer.losses.reference_store import ReferenceStore


def origin_of(task: Task, *, first: bool) -> Origin | None:
    """What a phase began from, as its own checkpoint remembers it, or begins from now."""
    if task.resumed:
        return task.resumed[1].origin
    if not task.origin:
        return None
    path, state = task.origin
    digest = ""
    if needs_reference(task.phase.train):
        digest = from_first(checkpoint_digest(path) if first else None)
    return Origin(
        path=str(path), manifest=state.manifest, phase=state.phase, step=state.step, digest=digest
    )


def load(task: Task, machine: Machine) -> None:
    """Bring model and optimizer to where the phase goes on, or begins."""
    if found := task.resumed or task.origin:
        optimizer = machine.optimizer if task.with_optimizer_of else None
        checkpoint.load(found[0], machine.chunks, optimizer)
        if optimizer is None:
            machine.optimizer.reload_model_params()


def objective_of(task: Task, machine: Machine, data: PhaseData, origin: Origin | None) -> Objective:
    """What the phase learns by. For pairs that is what its first weights, the frozen reference, say
    of them, which is computed where nobody has done it yet.

    Raises:
        ConfigError: It learns from pairs and begins from no checkpoint, or goes on, and what the
            reference said is gone.
    """
    facts = task.facts
    if not needs_reference(facts):
        return objective(facts)
    assert origin  # a phase of pairs without one was refused
    if not task.resumed:
        pairs = phase_pairs(task.manifest, task.phase)
        kept = ReferenceStore(
            store=task.store,
            manifest=task.manifest.digest,
            phase=task.phase.name,
            checkpoint=origin.digest,
            pairs=len(pairs),
        )
        missing = None
        if machine.place.first:
            kept.begin()
            missing = kept.missing()
        frozen = Frozen(
            chunks=machine.chunks,
            device=machine.device,
            batch_of=data.batch,
            micro_batch=machine.micro_batch,
        )
        reference_pass(task.manifest, pairs, kept, frozen, from_first(missing))
        barrier()
    return objective(facts, open_reference(task.manifest, task.phase, origin.digest, origin.path))
