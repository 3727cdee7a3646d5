"""Pins: a training run or a checkpoint names the manifest that it needs, so that it is kept.

A pin is one file a manifest and a holder. It holds even when no name or tag leads there any more.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from manifests.errors import ConfigError, DataError
from manifests.fingerprint import canonical_json
from manifests.layout import PINS, pin_file
from manifests.objects.reach import at_once, refresh
from manifests.objects.tree import Objects
from manifests.store import Store

_WHO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+,~-]{0,199}")
_KEY = re.compile(rf"{PINS}([0-9a-f]{{64}})/({_WHO.pattern})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Somebody's need of a manifest."""

    digest: str
    who: str
    at: str
    """ISO 8601."""


def pin(store: Store, digest: str, who: str, at: str) -> None:
    """Keep a manifest for a holder; again changes nothing.

    Raises:
        ConfigError: `who` is not made of letters, digits and `._@=+,~-`.
        NotInStore: The manifest, or something that it needs, is not there.
    """
    refresh(Objects(store), digest)
    store.create(_key(digest, who), canonical_json(asdict(Pin(digest=digest, who=who, at=at))))


def unpin(store: Store, digest: str, who: str) -> None:
    """Let a manifest go; no error when it was not held."""
    store.delete(_key(digest, who))


def pins(store: Store, digest: str = "") -> list[Pin]:
    """Who holds what, or who holds this manifest.

    Raises:
        DataError: A pin is broken.
    """
    prefix = f"{PINS}{digest}/" if digest else PINS
    return at_once(lambda key: _read(store, key), list(store.list(prefix)))


def pinned(store: Store) -> Iterator[str]:
    """The manifests that somebody holds.

    Raises:
        DataError: There is something among the pins that is none.
    """
    return (_parsed(store, key)[0] for key in store.list(PINS))


def _read(store: Store, key: str) -> Pin:
    digest, who = _parsed(store, key)
    data = store.get(key)
    try:
        found = Pin(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise DataError(f"{store.url}: {key}: not a pin: {error}") from error
    if (found.digest, found.who) != (digest, who):
        raise DataError(f"{store.url}: {key} is the pin of {found.digest} by {found.who}")
    return found


def _parsed(store: Store, key: str) -> tuple[str, str]:
    if (matched := _KEY.fullmatch(key)) is None:
        raise DataError(f"{store.url}: {key}: not the name of a pin; remove it or rename it")
    return matched[1], matched[2]


def _key(digest: str, who: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"not the digest of a manifest: {digest!r:.80}")
    if not _WHO.fullmatch(who):
        raise ConfigError(
            f"{who!r:.80} cannot hold a manifest: use letters, digits and ._@=+,~-, up to 200"
        )
    return pin_file(digest, who)
