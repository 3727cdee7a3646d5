"""The names of manifests: where each points, since when, and what it pointed at before."""

from dataclasses import dataclass

from manifests.objects.log import Version
from manifests.objects.refs import Refs


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """A version of a name."""

    ref: str
    """`name@3`."""
    digest: str
    at: str
    """ISO 8601."""
    author: str
    message: str
    tags: tuple[str, ...]
    """Of its name, that point at the same manifest."""


def name_lines(refs: Refs) -> list[VersionLine]:
    """The newest version of every name, by name."""
    found = ((name, refs.newest(name)) for name in refs.names())
    return [_line(newest, refs.tags(name)) for name, newest in found if newest]


def version_lines(refs: Refs, name: str) -> list[VersionLine]:
    """All versions of a name, the newest first.

    Raises:
        ConfigError: There is no such name.
    """
    refs.resolve(name)  # or it says which names there are
    log, tags = refs.log(name), refs.tags(name)
    return [_line(version, tags) for version in reversed(log)]


def _line(version: Version, tags: dict[str, str]) -> VersionLine:
    return VersionLine(
        ref=f"{version.name}@{version.number}",
        digest=version.digest,
        at=version.at,
        author=version.author,
        message=version.message,
        tags=tuple(sorted(tag for tag, digest in tags.items() if digest == version.digest)),
    )
