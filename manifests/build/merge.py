"""Two manifests that both come from a third, as one: specs and data three ways, then resolved.

Nothing of the two resolutions is merged: whole numbers follow from a spec and from data. What
either side has taken down is out from the first step on, whenever that side took it down.
"""

from dataclasses import dataclass, replace

from manifests.build.build import Data, build_over
from manifests.build.merge_leaves import LeafMerge, MergedLeaves, Side
from manifests.build.rebase import Point, Rebased, go_on, refuse_other_orders
from manifests.build.three_way import Difference, Prefer, merge_specs
from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.root import Root
from manifests.objects.tree import Objects
from manifests.spec.check import check
from manifests.spec.form import Place
from manifests.spec.types import Change, Mixture, Removal
from manifests.spec.write import as_written, toml
from manifests.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Three:
    """What is merged."""

    base: Manifest
    ours: Manifest
    theirs: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a person may say about a merge."""

    name: str
    """Of the result."""
    keep_removed: bool = False
    """Whether shards stay that one side took out and the other one changed."""
    prefer: Prefer = Prefer.NOBODY
    at: Point | None = None
    """Where `ours` goes on under the merge; None: all phases are resolved from their first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What became of them."""

    mixture: Mixture
    text: str
    """Of the mixture, as TOML."""
    root: Root
    digest: str
    conflicts: tuple[Difference, ...]
    """That were decided for one side."""
    rebased: Rebased | None
    """What it costs `ours`, where that goes on."""


def merge(
    store: Store, three: Three, how: How, objects: Objects
) -> Merged | tuple[Difference, ...]:
    """The merge, or all conflicts where there are some and nobody is preferred.

    `objects` sees those of the manifests, and takes the new ones. If one side is the base, the
    other one is the merge, as it is.

    Raises:
        ConfigError: The changes do not fit together, or the merged spec not its data.
        DataError: A manifest or a shard that has to be read is broken.
    """
    _refuse_other_tokens(three)
    if how.at is None:
        for side, other in ((three.ours, three.theirs), (three.theirs, three.ours)):
            nothing_new = other.digest in (three.base.digest, side.digest)
            if nothing_new and side.root.name == how.name:
                return _as_it_is(side)
    base, ours, theirs = (side.mixture for side in (three.base, three.ours, three.theirs))
    spec = merge_specs(base, ours, theirs, how.name, how.prefer)
    if spec.mixture is None:
        return spec.conflicts
    mixture = taken_down_for_good(spec.mixture)
    data = LeafMerge(
        store=store,
        mixture=mixture,
        base=Side(three.base),
        ours=Side(three.ours),
        theirs=Side(three.theirs),
        keep_removed=how.keep_removed,
        prefer=how.prefer,
    ).merged()
    conflicts = (*spec.conflicts, *data.conflicts)
    if conflicts and how.prefer is Prefer.NOBODY:
        return conflicts
    return _resolved(store, three, how, mixture, data, objects, conflicts)


def taken_down_for_good(mixture: Mixture) -> Mixture:
    """The mixture with the records that its changes remove removed from the first step on."""
    records: list[Removal] = []
    changes: list[Change] = []
    for change in mixture.changes:
        records += [removal for removal in change.remove if not removal.source]
        left = replace(change, remove=tuple(r for r in change.remove if r.source))
        if left.remove or left.mix or left.budget or left.global_batch:
            changes.append(left)
    remove = sorted({*mixture.remove, *records}, key=lambda r: (r.records, r.source, r.report))
    found = replace(mixture, remove=tuple(remove), changes=tuple(changes))
    check(found, Place("the merged spec"))
    return found


def _resolved(
    store: Store,
    three: Three,
    how: How,
    mixture: Mixture,
    data: MergedLeaves,
    objects: Objects,
    conflicts: tuple[Difference, ...],
) -> Merged:
    over = Data(
        leaves=data.leaves,
        removed=data.removed,
        parents=(three.ours.digest, three.theirs.digest),
    )
    rebased = None
    if how.at is not None:
        refuse_other_orders(three.ours, mixture, how.at)
        rebased = go_on(store, three.ours, mixture, how.at, over, objects)
        root, digest = rebased.root, rebased.digest
    else:
        root = build_over(store, mixture, over, objects)
        digest = write_root(objects, root)
    return Merged(
        mixture=mixture,
        text=toml(as_written(mixture)),
        root=root,
        digest=digest,
        conflicts=conflicts,
        rebased=rebased,
    )


def _as_it_is(side: Manifest) -> Merged:
    return Merged(
        mixture=side.mixture,
        text=toml(as_written(side.mixture)),
        root=side.root,
        digest=side.digest,
        conflicts=(),
        rebased=None,
    )


def _refuse_other_tokens(three: Three) -> None:
    ours, theirs = three.ours.root.tokenizer, three.theirs.root.tokenizer
    if ours != theirs:
        raise ConfigError(
            f"ours counts with {ours.name} (end of document {ours.end_of_document}), theirs with"
            f" {theirs.name} ({theirs.end_of_document}); build both with one tokenizer first"
        )
