"""A source: where documents lie, in which format, and under which licence.

Files of object stores are known by their full URL, local files by their path below the source's
root, so that plans and document ids are the same in every checkout of a recipe.
"""

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from glob import has_magic
from pathlib import PurePosixPath
from typing import Any

from manifests.errors import ConfigError
from manifests.records import Kind


class Format(StrEnum):
    """How a source's files are read."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    """One JSON object a line."""
    TEXT = "text"
    """Plain text, Markdown, reST: one file, one document."""
    PYTHON = "python"
    """Documented functions and classes."""
    WARC = "warc"
    HTML = "html"
    TOPICS = "topics"
    """A module with a dict of texts, in the first place `pydoc_data.topics`."""


SUFFIXES: dict[Format, tuple[str, ...]] = {
    Format.PARQUET: (".parquet",),
    Format.JSONL: (".jsonl", ".ndjson"),
    Format.TEXT: (".txt", ".text", ".md", ".markdown", ".rst"),
    Format.PYTHON: (".py",),
    Format.WARC: (".warc", ".wet"),
    Format.HTML: (".html", ".htm", ".xhtml"),
}
"""What a directory is searched for; `.gz` or `.zst` may follow, but for Parquet."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Documents of one origin."""

    name: str
    url: str
    """Any fsspec URL or local path: a directory (searched whole), a glob or a file."""
    format: Format
    licence: str = "unknown"
    lang: str = "und"
    kind: Kind = Kind.PROSE
    """Of Parquet and JSON rows; the other formats know what they hold."""
    text_field: str = "text"
    id_field: str | None = None
    licence_field: str | None = None
    lang_field: str | None = None
    url_field: str | None = None
    """Where a row was before it came into the file; becomes the front of the document's url."""

    def fields(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        names = (
            self.text_field,
            self.id_field,
            self.licence_field,
            self.lang_field,
            self.url_field,
        )
        return tuple(dict.fromkeys(name for name in names if name))


def compression(url: str) -> str | None:
    """`gzip`, `zstd` or None, by the last suffix."""
    return COMPRESSIONS.get(PurePosixPath(url).suffix.lower())


def plain_suffix(url: str) -> str:
    """The suffix in lower case, before `.gz` or `.zst`."""
    path = PurePosixPath(url)
    return (PurePosixPath(path.stem) if compression(url) else path).suffix.lower()


def guess_format(url: str) -> Format:
    """The format that the suffix tells.

    Raises:
        ConfigError: It tells none, as a directory's does not.
    """
    if url == "pydoc_data.topics":
        return Format.TOPICS
    for format_, suffixes in SUFFIXES.items():
        if plain_suffix(url) in suffixes:
            return format_
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise ConfigError(f"{url}: no format has this suffix (known: {known}); name the format")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A source's url, resolved."""

    fs: Any
    """The fsspec file system."""
    path: str
    root: str
    """Directory that local names are relative to."""
    local: bool

    def name(self, path: str) -> str:
        """How the file at `path` is known: its URL, or when local its path below the root."""
        if not self.local:
            return str(self.fs.unstrip_protocol(path))
        return path.removeprefix(self.root).lstrip("/")

    def path_of(self, name: str) -> str:
        """The inverse of `name`."""
        if not self.local:
            return str(self.fs._strip_protocol(name))
        return f"{self.root.rstrip('/')}/{name}"


def place(source: Source) -> Place:
    """Where a source lies.

    Raises:
        ConfigError: Its url has a protocol that no installed package serves, or names no module.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    url = _module_file(source) if source.format is Format.TOPICS else source.url
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"source {source.name!r}: cannot open {url!r}: {error}") from error
    local = isinstance(fs, LocalFileSystem)
    return Place(fs=fs, path=path, root=_root(fs, path) if local else "", local=local)


def _root(fs: Any, path: str) -> str:
    """The directory itself, what stands before a glob's first magic part, or a file's parent."""
    if not has_magic(path):
        return path if fs.isdir(path) else str(fs._parent(path))
    parts = path.split("/")
    first = next(index for index, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:first])


def _module_file(source: Source) -> str:
    try:
        spec = importlib.util.find_spec(source.url)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise ConfigError(
            f"source {source.name!r}: no module {source.url!r} here; "
            "a topics source names one, such as 'pydoc_data.topics'"
        )
    return spec.origin
