"""Exports for readers are made of texts, which token documents do not have."""

import pyarrow.compute as pc

from manifests.commits import read_commit
from manifests.errors import ConfigError
from manifests.export.names import sources
from manifests.objects.manifest import Manifest


def check_texts(manifest: Manifest) -> None:
    """Refuse a manifest that is over token steps.

    One commit of each step is read; a step without it is left to whoever reads its shards.

    Raises:
        ConfigError: A step holds token documents; says from which step its records are.
    """
    for source, leaves in sources(manifest.root).items():
        for leaf in leaves:
            table = manifest.rows(leaf.table.digest, ["step", "key"])
            for step in sorted(table["step"].unique().to_pylist()):
                first = pc.index(table["step"], step).as_py()
                commit = read_commit(manifest.store, step, table["key"][first].as_py())
                if commit is not None and commit.row_type == "tokendocument":
                    read = sorted({shard.step for shard in commit.inputs})
                    raise ConfigError(
                        f"source {source}: {step} holds ids and no texts; build a manifest over"
                        f" {' and '.join(read) or 'the records that it was made from'}, and export"
                        " that"
                    )
