"""The inventory: which files a run reads, fixed when it is planned.

Every file has an identity: the sha256 of its bytes when local, the object store's own checksum
otherwise. Large Parquet files become several units (ranges of row groups), every other file one.
Tasks are cut from the inventory alone, so nobody lists a directory to find work.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from glob import has_magic
from typing import Any

from generators.seeds.sources import SUFFIXES, Format, Place, Source, place, plain_suffix
from manifests.errors import ConfigError, DataError
from manifests.fingerprint import canonical_json

SPLIT_BYTES = 64 * 2**20
THREADS = 8
CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is read in one go: a file, or the `part`-th of the `parts` of one."""

    source_index: int
    url: str
    """The file: a full URL, or a path below the source's root when local."""
    size: int
    """Bytes of the whole file."""
    identity: str
    part: int = 0
    parts: int = 1

    @property
    def weight(self) -> int:
        """Bytes that this unit reads, about; never 0."""
        return max(1, self.size // self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All units of a run, in the order of its sources and of their files' names."""

    units: tuple[Unit, ...]

    def slices(self, target_bytes: int) -> list[tuple[Unit, ...]]:
        """The units cut into tasks, in order; a task passes `target_bytes` only by one unit."""
        if target_bytes < 1:
            raise ValueError(f"target_bytes must be at least 1, got {target_bytes}")
        slices: list[tuple[Unit, ...]] = []
        open_slice: list[Unit] = []
        weight = 0
        for unit in self.units:
            if open_slice and weight + unit.weight > target_bytes:
                slices.append(tuple(open_slice))
                open_slice, weight = [], 0
            open_slice.append(unit)
            weight += unit.weight
        if open_slice:
            slices.append(tuple(open_slice))
        return slices

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"units": [asdict(unit) for unit in self.units]})

    @classmethod
    def from_json(cls, data: bytes) -> "Inventory":
        """The inverse of `to_json`.

        Raises:
            DataError: These bytes are no inventory.
        """
        try:
            return cls(units=tuple(Unit(**unit) for unit in json.loads(data)["units"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"not an inventory: {error!r}") from error


def take_inventory(sources: Sequence[Source], *, split_bytes: int = SPLIT_BYTES) -> Inventory:
    """List and identify every file of every source.

    Raises:
        ConfigError: A source has no files, cannot be listed or read, or shares its name.
    """
    names = [source.name for source in sources]
    if not names:
        raise ConfigError("no sources: name at least one source of documents")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two sources are named {twice!r}: give each source its own name")
    units: list[Unit] = []
    for index, source in enumerate(sources):
        units += _units(index, source, split_bytes)
    return Inventory(units=tuple(units))


def _units(index: int, source: Source, split_bytes: int) -> Iterable[Unit]:
    where = place(source)
    try:
        files = _files(source, where)
        with ThreadPoolExecutor(THREADS) as pool:
            described = list(pool.map(lambda item: _describe(source, where, item), files))
    except OSError as error:
        raise ConfigError(
            f"source {source.name!r}: cannot read {getattr(error, 'filename', '') or source.url}: "
            f"{error.strerror or error}; check that it exists and that you may read it"
        ) from error
    except ConfigError:
        raise
    except Exception as error:  # each object store has its own errors
        if where.local:
            raise
        raise ConfigError(
            f"source {source.name!r}: cannot list or read {source.url} ({error}); check the bucket "
            "and your credentials for it"
        ) from error
    for name, size, identity, path in sorted(described):
        parts = 1
        if source.format is Format.PARQUET and size > split_bytes:
            parts = _parquet_parts(where, path, -(-size // split_bytes))
        for part in range(parts):
            yield Unit(
                source_index=index,
                url=name,
                size=size,
                identity=identity,
                part=part,
                parts=parts,
            )


def _files(source: Source, where: Place) -> list[dict[str, Any]]:
    """File infos of fsspec, by name."""
    fs, path = where.fs, where.path
    if source.format is Format.TOPICS:
        return [fs.info(path)]
    if has_magic(path) and not fs.exists(path):
        found = _matching(where)
        looked_for = "a file that matches"
    elif fs.isfile(path):
        return [fs.info(path)]
    else:
        wanted = SUFFIXES[source.format]
        found = [i for i in _walk(where) if _wanted(i["name"].removeprefix(path), wanted)]
        looked_for = f"a file ending in {', '.join(wanted)} in"
    files = sorted((i for i in found if i["type"] == "file"), key=lambda info: str(info["name"]))
    if not files:
        raise ConfigError(
            f"source {source.name!r}: looked for {looked_for} {source.url!r} and found none; "
            f"check its url and its format ({source.format})"
        )
    return files


def _matching(where: Place) -> list[dict[str, Any]]:
    """What a glob matches; hidden files only where the glob itself names one."""
    infos = list(where.fs.glob(where.path, detail=True).values())
    if where.local:
        infos = [where.fs.info(info["name"]) for info in infos]  # of what a link points to
    if "/." in where.path:
        return infos
    return [info for info in infos if "/." not in info["name"].removeprefix(where.root)]


def _walk(where: Place) -> list[dict[str, Any]]:
    """Infos of all files below a directory; links to directories are not followed."""
    if not where.local:
        return list(where.fs.find(where.path, detail=True).values())
    # fsspec's find() passes over local directories that it may not read, and over links to files
    walked = os.walk(where.path, onerror=_fail)
    paths = [os.path.join(folder, name) for folder, _, names in walked for name in names]
    return [where.fs.info(path) for path in paths]


def _fail(error: OSError) -> None:
    raise error


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and plain_suffix(name) in suffixes


def identity_of(where: Place, info: dict[str, Any]) -> str:
    """What changes when a file changes."""
    if where.local:
        with open(info["name"], "rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    for key in CHECKSUMS:
        if info.get(key):
            return f"{key.lower()}:{info[key]}".replace('"', "")
    return f"ukey:{where.fs.ukey(info['name'])}"


def _describe(source: Source, where: Place, info: dict[str, Any]) -> tuple[str, int, str, str]:
    """A file's name in its source, its size, its identity and its path."""
    path = str(info["name"])
    name = source.url if source.format is Format.TOPICS else where.name(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"source {source.name!r}: the file name {name!r} is not UTF-8; rename the file"
        ) from error
    return name, int(info["size"] or 0), identity_of(where, info), path


def _parquet_parts(where: Place, path: str, wanted: int) -> int:
    """Into how many units a file is cut: at most one a row group; 1 if its footer is unreadable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with where.fs.open(path, "rb") as file:
        try:
            groups: int = pq.ParquetFile(file).metadata.num_row_groups
        except (pa.ArrowInvalid, OSError):
            return 1
    return max(1, min(wanted, groups))
