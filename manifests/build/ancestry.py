"""Where two manifests come from."""

from manifests.errors import ConfigError
from manifests.objects.manifest import read_root
from manifests.objects.tree import Objects


def nearest_ancestor(objects: Objects, one: str, other: str) -> str:
    """The digest of the manifest that both were made from by the fewest rebases and merges; of
    several as near the one that sorts first. It may be one of the two.

    Raises:
        ConfigError: There is none.
        DataError: A manifest on the way is missing or broken.
    """
    mine, yours = _distances(objects, one), _distances(objects, other)
    shared = mine.keys() & yours.keys()
    if not shared:
        raise ConfigError(
            f"sha256:{one[:12]} and sha256:{other[:12]} were not made from one manifest by rebase"
            " or merge; give --base, the manifest that both go back to"
        )
    return min(shared, key=lambda digest: (mine[digest] + yours[digest], digest))


def _distances(objects: Objects, digest: str) -> dict[str, int]:
    """A manifest and all that it comes from, with the fewest steps to each."""
    found, edge = {digest: 0}, [digest]
    while edge:
        parents = [(at, up) for at in edge for up in read_root(objects, at).parents]
        edge = []
        for at, parent in parents:
            if parent not in found:
                found[parent] = found[at] + 1
                edge.append(parent)
    return found
