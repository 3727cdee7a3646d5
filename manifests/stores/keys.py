"""Which keys a store takes: plain segments that every backend spells the same way; what it says.

No segment starts with a dot, so a store may keep its own files under dotted names.
"""

import re
from dataclasses import dataclass

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._@=+,~-]*"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*\Z")


def checked_key(key: str) -> str:
    """`key` itself; ValueError when it is not a key (a bug of the caller)."""
    if not _KEY.match(key):
        raise ValueError(f"not a store key: {key!r:.120}")
    return key


def checked_prefix(prefix: str) -> str:
    """`prefix` itself: empty, or a key with a closing slash; else ValueError."""
    if prefix and not (prefix.endswith("/") and _KEY.match(prefix[:-1])):
        raise ValueError(f"not a store prefix (a key and a slash): {prefix!r:.120}")
    return prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of an object without reading it."""

    bytes: int
    modified: float
    """When it was last written, in seconds since 1970, by the store's own clock; whole seconds on
    some services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRoom:
    """The file system that a store lies on, in bytes."""

    total: int
    free: int
    """For us: without what is kept for the system's administrator."""
