"""A manifest as a folder that Hugging Face `datasets` loads: a configuration for each source.

Shards that belong to a leaf whole are copied byte for byte and keep their sha256; of the others the
picked rows are written anew. The folder also has the manifest's root (`manifest.json`, whose sha256
is the digest), a Croissant description, and a card.
"""

from pathlib import Path

from manifests.export.card import card
from manifests.export.croissant import File, Part, croissant
from manifests.export.folder import new_folder
from manifests.export.names import leaf_folder, sources
from manifests.export.picks import COLUMNS, Pick, picks, read_bytes, read_picked
from manifests.export.texts import check_texts
from manifests.fingerprint import sha256
from manifests.objects.manifest import Manifest
from manifests.objects.root import Leaf
from manifests.shards import parquet_bytes


def export_huggingface(manifest: Manifest, out: Path) -> Path:
    """Write the new folder `out`, with all leaves of the manifest.

    Raises:
        ConfigError: `out` is there and is not an empty folder, or a source is of ids, not texts.
        DataError: A shard is missing or broken.
    """
    check_texts(manifest)
    with new_folder(out) as folder:
        parts = []
        for source, leaves in sources(manifest.root).items():
            files = [file for leaf in leaves for file in _write_leaf(manifest, leaf, folder)]
            documents = sum(leaf.documents for leaf in leaves)
            text = f"Source {source}: {documents} documents."
            parts.append(Part(name=source, description=text, files=tuple(files)))
        (folder / "README.md").write_text(card(manifest), encoding="utf-8")
        (folder / "croissant.json").write_text(croissant(manifest, parts), encoding="utf-8")
        (folder / "manifest.json").write_bytes(
            manifest.objects.get_by_digest(manifest.digest, "json")
        )
    return out


def _write_leaf(manifest: Manifest, leaf: Leaf, folder: Path) -> list[File]:
    place = leaf_folder(leaf)
    (folder / place).mkdir(parents=True)
    files = []
    table = manifest.rows(leaf.table.digest, list(COLUMNS))
    for number, pick in enumerate(picks(table)):
        data = _picked_bytes(manifest, pick)
        identity = pick.row.sha256 if pick.whole else sha256(data)
        # The number keeps the order of the leaf, which loaders take from the names.
        path = f"{place}/{number:05d}-{identity}.parquet"
        (folder / path).write_bytes(data)
        files.append(File(path=path, sha256=identity, bytes=len(data)))
    return files


def _picked_bytes(manifest: Manifest, pick: Pick) -> bytes:
    if pick.whole:
        return read_bytes(manifest.store, pick)
    return parquet_bytes(read_picked(manifest.store, pick))
