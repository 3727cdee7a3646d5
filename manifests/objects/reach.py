"""What a manifest needs: all objects below its root, and its parents'."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from manifests.layout import object_file
from manifests.objects.manifest import needed, read_root
from manifests.objects.ranges import Range, parse_ranges
from manifests.objects.root import Root
from manifests.objects.tree import Objects

WORKERS = 16
"""Objects that are looked at at once: it is the round trips that take time."""

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Objects, each once."""

    objects: frozenset[tuple[str, str]]
    """(digest, media)."""
    ranges: tuple[Range, ...]
    """Those of them that are ranges of tables."""

    @property
    def keys(self) -> set[str]:
        """Where they lie."""
        return {object_file(digest, media) for digest, media in self.objects}


def reachable(objects: Objects, manifests: Iterable[str], tables: Iterable[str] = ()) -> Reached:
    """What these manifests, their parents and these tables are made of, themselves included.

    Raises:
        NotInStore: A root or a table is not there. (Ranges and arrays are not looked at.)
        DataError: One is broken.
    """
    found = {(digest, "json") for digest in tables}
    seen: set[str] = set()
    waiting = set(manifests)
    while waiting:
        seen |= waiting
        roots: list[Root] = at_once(lambda digest: read_root(objects, digest), sorted(waiting))
        for root in roots:
            found |= {(part.digest, part.media) for part in needed(root)}
        waiting = {parent for root in roots for parent in root.parents} - seen
    listed = sorted(digest for digest, media in found if media == "json")
    ranges = {
        part.digest: part
        for parts in at_once(lambda digest: _ranges(objects, digest), listed)
        for part in parts
    }
    found |= {(digest, "json") for digest in seen} | {(digest, "parquet") for digest in ranges}
    return Reached(objects=frozenset(found), ranges=tuple(ranges.values()))


def refresh(objects: Objects, manifest: str) -> None:
    """Make sure that a manifest is whole and stays, before something new points at it.

    A collection of garbage that runs meanwhile has either seen that its objects are young again, or
    has taken one before; then this fails, and nothing points at what is not whole.

    Raises:
        NotInStore: Something that it needs is not there.
        DataError: Something that it needs is broken.
    """
    found = reachable(objects, [manifest])
    at_once(lambda part: objects.refresh(*part), sorted(found.objects))


def at_once(act: Callable[[Given], Made], each: Sequence[Given]) -> list[Made]:
    """`act` on each, several at a time; the results in order, or the first error."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="objects") as workers:
        return list(workers.map(act, each))


def _ranges(objects: Objects, digest: str) -> tuple[Range, ...]:
    """The ranges of a table; of a spec, none."""
    return parse_ranges(objects.get_by_digest(digest, "json")) or ()
