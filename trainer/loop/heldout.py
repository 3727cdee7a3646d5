"""Held-out sets: phases of a manifest that the run does not train on."""

from dataclasses import dataclass

from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.resolve.types import Phase
from manifests.spec.types import TokenizerName
from manifests.store import Store
from trainer.losses.choose import needs_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A set, as it was asked for."""

    name: str
    """REF#PHASE."""
    manifest: Manifest
    phase: Phase


def held_out(store: Store, name: str, tokenizer: TokenizerName) -> HeldOut:
    """The set that `REF#PHASE` names, for a model of this tokenizer.

    Raises:
        ConfigError: There is none, it is of pairs, or of another tokenizer.
    """
    ref, mark, phase_name = name.partition("#")
    if not (mark and phase_name):
        raise ConfigError(f"--eval {name}: give REF#PHASE, a manifest and its phase to look at")
    manifest = Manifest(store, Refs(store).resolve(ref).digest)
    phases = {phase.name: phase for phase in manifest.root.phases}
    if phase_name not in phases:
        raise ConfigError(f"--eval {name}: {ref} has the phases {', '.join(phases)}")
    if manifest.root.tokenizer != tokenizer:
        raise ConfigError(
            f"--eval {name}: its tokens are those of {manifest.root.tokenizer.name}, and the run's"
            f" of {tokenizer.name}; build the held-out manifest over steps of the same tokenizer"
        )
    if needs_reference(phases[phase_name].train):
        raise ConfigError(f"--eval {name}: a phase of pairs has no loss without its reference")
    return HeldOut(name=name, manifest=manifest, phase=phases[phase_name])
