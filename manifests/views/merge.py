"""What a merge makes of the data of two manifests, leaf by leaf."""

from collections.abc import Mapping
from dataclasses import dataclass

from manifests.build.merge import Merged, Three
from manifests.objects.root import Leaf, Root


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLeaf:
    """Shards of a leaf, 0 where there is none."""

    name: str
    base: int
    ours: int
    theirs: int
    merged: int
    documents: int
    """Of the merge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeView:
    """A merge in numbers."""

    base: str
    """Digest; likewise the next two."""
    ours: str
    theirs: str
    is_one_of_them: bool
    """Whether one side had nothing that the other has not."""
    leaves: tuple[MergedLeaf, ...]


def merge_view(three: Three, made: Merged) -> MergeView:
    """The merge of these three."""
    roots = [three.base.root, three.ours.root, three.theirs.root, made.root]
    sides = [_leaves(root) for root in roots]
    names = sorted({name for side in sides for name in side})
    return MergeView(
        base=three.base.digest,
        ours=three.ours.digest,
        theirs=three.theirs.digest,
        is_one_of_them=made.digest in (three.ours.digest, three.theirs.digest),
        leaves=tuple(
            MergedLeaf(
                name=name,
                base=_shards(sides[0], name),
                ours=_shards(sides[1], name),
                theirs=_shards(sides[2], name),
                merged=_shards(sides[3], name),
                documents=sides[3][name].documents if name in sides[3] else 0,
            )
            for name in names
        ),
    )


def _leaves(root: Root) -> Mapping[str, Leaf]:
    return {leaf.name: leaf for leaf in root.leaves}


def _shards(leaves: Mapping[str, Leaf], name: str) -> int:
    return leaves[name].shards if name in leaves else 0
