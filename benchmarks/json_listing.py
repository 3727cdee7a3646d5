"""The plainest peer of a manifest: one JSON list of {path, size, sha256}, in commands of its own.

It names the same shards, from the same indexes, and says nothing else: no mixture, no quotas, no
order, no proof of itself.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path


def build(root: Path, out: Path) -> None:
    """List the data and token files of all steps below a root, as their indexes say."""
    import pyarrow.parquet as pq

    listed = []
    for index in sorted(root.glob("steps/*/*/index.parquet")):
        step = index.parent.relative_to(root)
        table = pq.ParquetFile(index).read(["data_sha256", "data_bytes", "token_files"])
        tokens = table["token_files"].combine_chunks().flatten()
        kinds = {
            "data": (table["data_sha256"], table["data_bytes"]),
            "tokens": (tokens.field("sha256"), tokens.field("bytes")),
        }
        for kind, (digests, sizes) in kinds.items():
            pairs = zip(digests.to_pylist(), sizes.to_pylist(), strict=True)
            listed += [
                {"path": f"{step}/{kind}/{digest}.parquet", "size": size, "sha256": digest}
                for digest, size in pairs
            ]
    out.write_text(json.dumps(listed))


def diff(old: Path, new: Path) -> None:
    """Print what only one of two lists has."""
    before, after = ({one["path"]: one for one in json.loads(p.read_bytes())} for p in (old, new))
    print([before[path] for path in before if after.get(path) != before[path]])
    print([after[path] for path in after if before.get(path) != after[path]])


def load(out: Path) -> None:
    """Read a list, and add up its sizes."""
    print(sum(one["size"] for one in json.loads(out.read_bytes())))


def verify(root: Path, out: Path) -> None:
    """Look whether every listed file is there with its size."""
    for one in json.loads(out.read_bytes()):
        if (root / one["path"]).stat().st_size != one["size"]:
            raise SystemExit(f"{one['path']} has another size")


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {
        "build": build,
        "diff": diff,
        "load": load,
        "verify": verify,
    }
    verbs[sys.argv[1]](*map(Path, sys.argv[2:]))
