"""Which committed steps a source's patterns mean.

A text without `*` means one step, and is refused where it would mean several: two versions, or two
runs of one version with other parameters, are never mixed unless somebody asked for it.
"""

import difflib
import json
import os
from collections.abc import Callable, Iterable
from functools import cache, partial

from manifests.errors import ConfigError, NotInStore
from manifests.layout import step_file
from manifests.spec.types import SourceSpec, fits
from manifests.store import Store

SHOWN = 5
"""Names listed in one message."""

Folders = Callable[[str], list[str]]


def steps_of(store: Store, source: SourceSpec) -> tuple[str, ...]:
    """Addresses of the steps that the source is made of, sorted, each once.

    Raises:
        ConfigError: A pattern fits nothing, or several steps where it must mean one.
    """
    return steps_fitting(store, source.steps, f"source {source.name}")


def steps_fitting(store: Store, patterns: Iterable[str], who: str) -> tuple[str, ...]:
    """Addresses of the steps that these patterns mean, sorted, each once; `who` asks for them.

    Raises:
        ConfigError: As `steps_of`.
    """
    folders = _folders(store)
    return tuple(sorted({step for text in patterns for step in _fitting(text, who, folders)}))


def slices_of(store: Store, step: str) -> int | None:
    """Into how many slices a step is cut; None when there is no step.json that says so."""
    try:
        slices = json.loads(store.get(step_file(step)))["slices"]
    except (NotInStore, ValueError, TypeError, LookupError):
        return None
    return slices if type(slices) is int and slices >= 0 else None


def _folders(store: Store) -> Folders:
    """Lists the names in a folder: without the keys below them, of which a step has millions."""
    if store.url.startswith("memory://"):

        def listed(folder: str) -> list[str]:
            names = (key.split("/")[folder.count("/") + 1] for key in store.list(f"{folder}/"))
            return sorted(set(names))

        return cache(listed)
    if "://" not in store.url:
        return cache(partial(_listed_here, store.url))
    from manifests.raw_files import RawFiles  # brings fsspec, which takes its time

    files = RawFiles(store.url)
    return cache(lambda folder: sorted(files.names(folder)))


def _listed_here(root: str, folder: str) -> list[str]:
    """Names in a folder of a local root; none when there is no such folder."""
    try:
        return sorted(name for name in os.listdir(f"{root}/{folder}") if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"cannot list {folder} below {root}: {error.strerror}") from error


def _fitting(text: str, who: str, folders: Folders) -> Iterable[str]:
    name, _, start = text.strip("/").removeprefix("steps/").partition("/")
    names = [n for n in folders("steps") if fits(name, n) or fits(name, n.partition("@")[0])]
    if len(names) > 1 and "*" not in name:
        raise ConfigError(
            f"{who}: {text!r} fits {_listed(names)}; write which version, or {name}@* for all"
        )
    wanted = start if "*" in start else f"{start}*"
    found = {n: [f for f in folders(f"steps/{n}") if fits(wanted, f)] for n in names}
    if not any(found.values()):
        raise ConfigError(f"{who}: no step fits {text!r}; {_near(name, folders)}")
    for n, fingerprints in found.items():
        if len(fingerprints) > 1 and "*" not in start:
            raise ConfigError(
                f"{who}: {text!r} fits {len(fingerprints)} steps:"
                f" {_listed([f'{n}/{f}' for f in fingerprints])}; write the fingerprint or its"
                f" start, or {n}/* for all"
            )
    return [f"steps/{n}/{f}" for n, fingerprints in found.items() for f in fingerprints]


def _near(name: str, folders: Folders) -> str:
    """What is there instead, the likest first."""
    names = folders("steps")
    if not names:
        return "the root has no steps; is it the right one?"
    plain = {text: n for n in names for text in (n.partition("@")[0], n)}
    near = {plain[text]: None for text in difflib.get_close_matches(name, plain, n=SHOWN)}
    there = [f"{n}/{f[:12]}" for n in near for f in folders(f"steps/{n}")]
    return f"near it: {_listed(there)}" if there else f"there are: {_listed(names)}"


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])
