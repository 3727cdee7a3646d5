"""What `rebase` and `merge` do before anything is written; `building.publish_plan` writes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manifests.build.layered import Layered
from manifests.build.rebase import Point, rebase
from manifests.cli.building import Planned
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.objects.tree import Objects
from manifests.spec.read import read_mixture
from manifests.store import Store
from manifests.views.rebase import RebaseView, rebase_view


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRebase:
    """A rebase, and what it costs."""

    planned: Planned
    view: RebaseView


def plan_rebase(
    store: Store,
    ref: str,
    spec: Path,
    at: Point,
    progress: Callable[[str, int, int], None] | None = None,
) -> PlannedRebase:
    """What the manifest REF becomes when it goes on under this spec.

    Raises:
        ConfigError: No such manifest, no spec, or they do not fit each other or what is committed.
        DataError: Something is broken.
    """
    refs = Refs(store)
    before = Manifest(store, refs.resolve(ref).digest)
    mixture, text = read_mixture(spec)
    over = Layered(store)
    made = rebase(store, before, mixture, at, Objects(over), progress)
    planned = Planned(
        mixture=mixture,
        text=text,
        root=made.root,
        digest=made.digest,
        objects=Objects(over.new),
        newest=refs.newest(mixture.name),
    )
    return PlannedRebase(planned=planned, view=rebase_view(before, made, mixture, at))
