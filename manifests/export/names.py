"""Names of sources and leaves as names of files."""

import re

from manifests.fingerprint import content_id
from manifests.objects.root import Leaf


def file_name(name: str) -> str:
    """The name itself where it is a plain one; else one that looks like it and no other has."""
    plain = re.sub(r"[^A-Za-z0-9._@+=-]", "_", name).lstrip(".")
    return plain if plain == name else f"{plain}-{content_id(name)[:8]}"


def leaf_folder(leaf: Leaf) -> str:
    """Where the leaf's shards lie in an exported data set."""
    place = f"data/{file_name(leaf.source)}"
    return f"{place}/{file_name(leaf.stratum)}" if leaf.stratum else place
