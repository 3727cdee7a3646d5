"""What `plan` and `build` do. A manifest is made in memory first, so that a spec that does not fit
leaves nothing behind; then its objects are kept, and then its name points at it.
"""

import getpass
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from manifests.build.build import build
from manifests.errors import ConfigError, Conflict, ScriptoriumError
from manifests.layout import MANIFEST_OBJECTS
from manifests.objects.log import Version
from manifests.objects.manifest import write_root
from manifests.objects.reach import at_once
from manifests.objects.refs import Refs
from manifests.objects.root import Root
from manifests.objects.tree import Objects
from manifests.spec.read import read_mixture
from manifests.spec.types import Mixture
from manifests.store import Store, probe
from manifests.stores.memory import MemoryStore
from manifests.views.manifest import ManifestView, manifest_view


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A manifest that is nowhere yet but in memory."""

    mixture: Mixture
    text: str
    """Of the spec, as it was written."""
    root: Root
    digest: str
    objects: Objects
    newest: Version | None
    """What its name points at now."""

    @property
    def unchanged(self) -> bool:
        """Whether its name points at it already."""
        return self.newest is not None and self.newest.digest == self.digest

    @property
    def view(self) -> ManifestView:
        """In numbers."""
        return manifest_view(self.digest, self.root, self.mixture)


def make_plan(
    store: Store, spec: Path, progress: Callable[[str, int, int], None] | None = None
) -> Planned:
    """What this spec comes to over what is committed.

    Raises:
        ConfigError: The spec is none, or does not fit what is committed.
        DataError: Something committed is broken.
    """
    mixture, text = read_mixture(spec)
    objects = Objects(MemoryStore(f"plan-{secrets.token_hex(8)}"))
    root = build(store, mixture, objects, progress)
    return Planned(
        mixture=mixture,
        text=text,
        root=root,
        digest=write_root(objects, root),
        objects=objects,
        newest=Refs(store).newest(mixture.name),
    )


def publish_plan(store: Store, planned: Planned, message: str, expect: int | None) -> Version:
    """Keep a plan's objects and make it the newest of its name; the version that it is.

    Raises:
        Conflict: The newest version before is not number `expect`.
        ConfigError: The store cannot be written to, or does not create only if absent.
    """
    expected = _expected(planned, expect)
    if planned.unchanged and planned.newest is not None:
        return planned.newest
    _probe(store)  # the first write
    kept = Objects(store)
    keys = list(planned.objects.store.list(MANIFEST_OBJECTS))
    at_once(partial(_keep, planned.objects.store, kept), keys)
    return Refs(store).publish(
        planned.mixture.name,
        planned.digest,
        message=message,
        author=author(),
        at=now(),
        spec=kept.put(planned.text.encode(), "toml"),
        expected=expected,
        just_put=not planned.root.parents,  # what has parents refers to objects of theirs
    )


def _expected(planned: Planned, expect: int | None) -> str | None:
    """The digest that the name has to point at, None where nothing is expected."""
    if expect is None:
        return None
    number = planned.newest.number if planned.newest else 0
    if number != expect:
        found = f"its newest version is {number}" if number else "it has no version yet"
        raise Conflict(f"{planned.mixture.name}: {found}, not {expect} as expected: look at it")
    return planned.newest.digest if planned.newest else ""


def _keep(source: Store, kept: Objects, key: str) -> None:
    kept.put(source.get(key), key.rpartition(".")[2])


def _probe(store: Store) -> None:
    try:
        probe(store)
    except ScriptoriumError:
        raise
    except OSError as error:
        raise ConfigError(f"{store.url}: cannot be written to ({error})") from error


def author() -> str:
    """Who is at work, for logs."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def now() -> str:
    """The time, for logs: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
