"""Croissant, the JSON-LD description of a data set that search engines and loaders read.

Each shard is a FileObject with its sha256, each source a FileSet of its shards and a RecordSet of
their rows, whose fields follow from the schema of records. Paths are relative to the description.
Source: Croissant format specification 1.0, mlcommons.org/croissant.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.errors import ConfigError
from manifests.export.composition import composition
from manifests.export.names import sources
from manifests.export.picks import COLUMNS, picks
from manifests.export.texts import check_texts
from manifests.objects.manifest import Manifest
from manifests.objects.root import Leaf
from manifests.records import Record
from manifests.stores.local import LocalStore
from manifests.tables import schema_of

PARQUET = "application/x-parquet"
_CROISSANT = "http://mlcommons.org/croissant/"
_TERMS = (
    "citeAs column extract field fileProperty fileObject fileSet format includes isLiveDataset"
    " jsonPath key md5 parentField path recordSet references regex repeated replace separator"
    " source subField transform equivalentProperty samplingRate"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": _CROISSANT,
    "rai": f"{_CROISSANT}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A Parquet file of a source."""

    path: str
    """From the folder of the description, with slashes; or a URL."""
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A source: its files and what is to be said about them."""

    name: str
    description: str
    files: tuple[File, ...]


def export_croissant(manifest: Manifest, out: Path) -> Path:
    """Describe a manifest's shards where they lie in its store, in the new file `out`.

    Readers find local shards from the description's folder, so that has to be the root or above.

    Raises:
        ConfigError: `out` is there already, or lies elsewhere than at or above a local root, or a
            source is of ids, not texts.
    """
    check_texts(manifest)
    store = manifest.store
    base = store.url + "/"
    if isinstance(store, LocalStore):
        root, folder = Path(store.url).absolute(), out.absolute().parent
        if not root.is_relative_to(folder):
            raise ConfigError(f"{out}: write it into {root} or above, where readers look from")
        base = os.path.relpath(root, folder) + "/"
    base = base.removeprefix("./")
    parts = [
        _part(manifest, source, leaves, base) for source, leaves in sources(manifest.root).items()
    ]
    described = croissant(manifest, parts)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(described)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made ({error.strerror}); give a new file") from None
    return out


def _part(manifest: Manifest, source: str, leaves: list[Leaf], base: str) -> Part:
    """A source's shards as they are committed."""
    files: dict[str, File] = {}
    partial = 0
    for leaf in leaves:
        for pick in picks(manifest.rows(leaf.table.digest, list(COLUMNS))):
            path = base + pick.key
            files[path] = File(path=path, sha256=pick.row.sha256, bytes=pick.row.bytes)
            partial += not pick.whole
    documents = sum(leaf.documents for leaf in leaves)
    text = f"Source {source}: {documents} documents."
    if partial:
        text += " Its shards hold further rows, which are no part of it."
    return Part(name=source, description=text, files=tuple(files[path] for path in sorted(files)))


def croissant(manifest: Manifest, parts: Iterable[Part]) -> str:
    """The description of these files of a manifest, as JSON-LD."""
    root = manifest.root
    parts = list(parts)
    files = {file.path: file for part in parts for file in part.files}
    licences = composition(manifest, ["licences"])["licences"]
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": root.name,
        "description": f"The mixture {root.name}: training data, manifest sha256:{manifest.digest}",
        "conformsTo": f"{_CROISSANT}1.0",
        "license": sorted(licences) or ["unknown"],
        "url": f"urn:sha256:{manifest.digest}",
        "version": f"1.0.0+{manifest.digest[:12]}",
        "citeAs": f"{root.name}, sha256:{manifest.digest}",
        "distribution": [
            *(_file_object(files[path]) for path in sorted(files)),
            *(_file_set(part) for part in parts),
        ],
        "recordSet": [_record_set(part) for part in parts],
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _file_object(file: File) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path.rpartition("/")[2],
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": PARQUET,
        "sha256": file.sha256,
    }


def _file_set(part: Part) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{part.name}/files",
        "name": f"{part.name}/files",
        "encodingFormat": PARQUET,
        "includes": [file.path for file in part.files],
    }


def _record_set(part: Part) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": part.name,
        "name": part.name,
        "description": part.description,
        "key": {"@id": f"{part.name}/id"},
        "field": list(_fields(part.name, schema_of(Record))),
    }


def _fields(part: str, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    for column in schema:
        described = _field(f"{part}/{column.name}", column.name)
        described["source"] = _source(part, column.name)
        kind = column.type
        if pa.types.is_list(kind):
            described["repeated"] = True
            kind = kind.value_type
        if pa.types.is_struct(kind):
            described["subField"] = [
                _field(f"{part}/{column.name}/{inner.name}", inner.name)
                | {"dataType": _data_type(inner.type)}
                | {"source": _source(part, column.name) | {"transform": {"jsonPath": inner.name}}}
                for inner in kind
            ]
        else:
            described["dataType"] = _data_type(kind)
        yield described


def _field(identity: str, name: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": identity, "name": name}


def _source(part: str, column: str) -> dict[str, Any]:
    return {"fileSet": {"@id": f"{part}/files"}, "extract": {"column": column}}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
