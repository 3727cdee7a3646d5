"""Which manifests a checkpoint may go on with: its own, or one rebased from it at that step.

Both are asked what they train on before the step. Only where that is the same, segment for segment,
is nothing lost and nothing repeated.
"""

from manifests.errors import ConfigError, NotInStore
from manifests.objects.manifest import Manifest, read_root
from manifests.resolve.usage import cut
from trainer.loop.state import State


def refuse_other_manifest(state: State, manifest: Manifest, command: str) -> None:
    """Raise ConfigError where a checkpoint was not trained on what this manifest begins with.

    `command` is how the run was called, for the advice.
    """
    if state.manifest == manifest.digest:
        return
    was, now = f"sha256:{state.manifest[:12]}", f"sha256:{manifest.digest[:12]}"
    told = (
        f"the checkpoint at step {state.step:,} of phase {state.phase} was trained on {was}, and"
        f" {command} names {now}"
    )
    advice = (
        f"manifest rebase {manifest.root.name} --phase {state.phase} --at-step {state.step}"
        f" makes one that goes on from there; or run sha256:{state.manifest[:12]}"
    )
    if state.manifest not in _ancestors(manifest):
        raise ConfigError(f"{told}, which was not made from it: {advice}")
    earlier = {p.name: p for p in read_root(manifest.objects, state.manifest).phases}
    before = cut(earlier[state.phase].segments, state.step)
    after = cut(manifest.phase(state.phase).segments, state.step)
    if before != after:
        starts = [one.first_step for one in manifest.phase(state.phase).segments]
        at = max((step for step in starts if step < state.step), default=0)
        raise ConfigError(
            f"{told}, which goes another way from step {at:,} on: take a checkpoint of step"
            f" {at:,} or earlier, or rebase again: {advice}"
        )


def _ancestors(manifest: Manifest) -> set[str]:
    """All manifests that this one was made from, as far as the store still has them."""
    found: set[str] = set()
    edge = list(manifest.root.parents)
    while edge:
        digest = edge.pop()
        if digest in found:
            continue
        found.add(digest)
        try:
            edge += read_root(manifest.objects, digest).parents
        except NotInStore:
            continue  # collected as garbage: what came before it is not known either
    return found
