"""What the picked rows of a manifest are made of, by generator, licence, teacher and so on."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from manifests.objects.manifest import Manifest
from manifests.stats import Volume

KINDS = ("buckets", "generators", "sources", "licences", "languages", "teachers")
"""Compositions that shard rows have."""


def composition(manifest: Manifest, kinds: Iterable[str] = KINDS) -> dict[str, dict[str, Volume]]:
    """Volumes over all leaves by kind and name, the largest first; text tokens."""
    parts: dict[str, list[pa.Table]] = {kind: [] for kind in kinds}
    for leaf in manifest.root.leaves:
        table = manifest.rows(leaf.table.digest, list(parts))
        for kind, found in parts.items():
            found.append(_flat(table[kind]))
    return {kind: _summed(found) for kind, found in parts.items()}


def composed(column: pa.ChunkedArray) -> dict[str, Volume]:
    """Volumes by name over a column of compositions, the largest first."""
    return _summed([_flat(column)])


def _flat(column: pa.ChunkedArray) -> pa.Table:
    structs = pc.list_flatten(column.combine_chunks())
    return pa.table({name: pc.struct_field(structs, name) for name in ("name", "rows", "tokens")})


def _summed(parts: list[pa.Table]) -> dict[str, Volume]:
    if not parts:
        return {}
    table = pa.concat_tables(parts).group_by("name").aggregate([("rows", "sum"), ("tokens", "sum")])
    order = [("tokens_sum", "descending"), ("rows_sum", "descending"), ("name", "ascending")]
    rows = table.sort_by(order).to_pylist()
    return {row["name"]: Volume(row["rows_sum"], row["tokens_sum"]) for row in rows}
