"""What `rebase` and `merge` do before anything is written; `building.publish_plan` writes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manifests.build.ancestry import nearest_ancestor
from manifests.build.layered import Layered
from manifests.build.merge import How, Three, merge
from manifests.build.rebase import Point, rebase
from manifests.build.three_way import Difference
from manifests.cli.building import Planned
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.objects.tree import Objects
from manifests.spec.read import read_mixture
from manifests.store import Store
from manifests.views.merge import MergeView, merge_view
from manifests.views.rebase import RebaseView, rebase_view


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRebase:
    """A rebase, and what it costs."""

    planned: Planned
    view: RebaseView


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMerge:
    """A merge, and what was decided in it."""

    planned: Planned
    view: MergeView
    conflicts: tuple[Difference, ...]
    account: RebaseView | None
    """Where one of them goes on under it."""


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


def three_of(store: Store, ours: str, theirs: str, base: str | None) -> Three:
    """The manifests of a merge; without a base, what both come from.

    Raises:
        ConfigError: There is no such manifest, or nothing that both come from.
    """
    refs = Refs(store)
    digests = [refs.resolve(ref).digest for ref in (ours, theirs)]
    root = refs.resolve(base).digest if base else nearest_ancestor(Objects(store), *digests)
    return Three(
        base=Manifest(store, root),
        ours=Manifest(store, digests[0]),
        theirs=Manifest(store, digests[1]),
    )


def plan_merge(store: Store, three: Three, how: How) -> PlannedMerge | tuple[Difference, ...]:
    """The merge, or the conflicts that are in its way; raises as `manifests.build.merge.merge`."""
    over = Layered(store)
    made = merge(store, three, how, Objects(over))
    if isinstance(made, tuple):
        return made
    planned = Planned(
        mixture=made.mixture,
        text=made.text,
        root=made.root,
        digest=made.digest,
        objects=Objects(over.new),
        newest=Refs(store).newest(how.name),
    )
    account = None
    if how.at and made.rebased:
        account = rebase_view(three.ours, made.rebased, made.mixture, how.at)
    return PlannedMerge(
        planned=planned,
        view=merge_view(three, made),
        conflicts=made.conflicts,
        account=account,
    )
