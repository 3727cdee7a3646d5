"""Sources and leaves of a manifest, and their names as names of files."""

import re

from manifests.fingerprint import content_id
from manifests.objects.root import Leaf, Root


def file_name(name: str) -> str:
    """The name itself where it is a plain one; else one that looks like it and no other has."""
    plain = re.sub(r"[^A-Za-z0-9._@+=-]", "_", name).lstrip(".")
    return plain if plain == name else f"{plain}-{content_id(name)[:8]}"


def sources(root: Root) -> dict[str, list[Leaf]]:
    """The leaves that have documents, by source; loaders take no empty source."""
    found: dict[str, list[Leaf]] = {}
    for leaf in sorted(root.leaves, key=lambda leaf: (leaf.source, leaf.name)):
        if leaf.documents:
            found.setdefault(leaf.source, []).append(leaf)
    return found


def leaf_folder(leaf: Leaf) -> str:
    """Where the leaf's shards lie in an exported data set."""
    place = f"data/{file_name(leaf.source)}"
    return f"{place}/{file_name(leaf.stratum)}" if leaf.stratum else place
