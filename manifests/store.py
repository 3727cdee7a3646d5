"""The store: whole objects under keys, over any fsspec URL, with put-if-absent."""

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from manifests.errors import ConfigError, NotInStore, StoreUnfit
from manifests.stores.keys import DiskRoom, ObjectInfo
from manifests.stores.local import LocalStore
from manifests.stores.memory import MemoryStore

__all__ = ["DiskRoom", "ObjectInfo", "Store", "open_store", "probe"]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_RACERS = 8


class Store(Protocol):
    """Whole objects under slash-separated keys. Safe to use from several threads; picklable."""

    @property
    def url(self) -> str:
        """The root, as `open_store` takes it."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole and durably; a reader sees the old bytes, the new ones or nothing.

        Raises:
            StoreFull: No room left.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if the key is absent; False when somebody else's is there already.

        Raises:
            StoreFull: No room left.
        """

    def get(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            NotInStore: There is no such object.
        """

    def exists(self, key: str) -> bool:
        """Whether the object is there."""

    def info(self, key: str) -> ObjectInfo:
        """An object's size and age, without its bytes: one stat, one HEAD.

        Raises:
            NotInStore: There is no such object.
        """

    def room(self) -> DiskRoom | None:
        """How much fits in; None where there is no end, as in a bucket."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix` (which ends in a slash), sorted."""

    def delete(self, key: str) -> None:
        """Remove an object; no error when it is absent."""


def open_store(url: str) -> Store:
    """The store at a path, `file://`, `s3://`, `gs://`, `az://`, `abfs://` or `memory://` URL.

    A local root need not exist yet, a bucket must. Google Cloud Storage and Azure need gcsfs or
    adlfs and are not tested against the real service. Whether the root honours create-only is for
    `probe` to find out, which writes.

    Raises:
        ConfigError: Unknown scheme, missing bucket, refused credentials, a root that is a file.
        ServiceError: The service does not answer.
    """
    matched = _URL.fullmatch(url)
    scheme, rest = matched.groups() if matched else ("file", url)
    if scheme == "file":
        return _open_local(unquote(rest) if matched else rest, url)
    if scheme == "memory":
        return MemoryStore(rest)
    if scheme in ("s3", "gs", "az", "abfs"):
        return _open_bucket(url)
    raise ConfigError(
        f"{url}: cannot keep data under {scheme}://, which is not known to create objects only if"
        " absent; use a path, s3://, gs://, az:// or abfs://"
    )


def _open_local(path: str, url: str) -> Store:
    if not path:
        raise ConfigError("the root is empty; give a directory or a URL such as s3://bucket/prefix")
    if re.match(r"(file|memory|s3|gs|az|abfs):", path):
        raise ConfigError(f"{url}: not a URL; write two slashes after the colon")
    root = Path(path).expanduser().absolute()
    nearest = next(above for above in (root, *root.parents) if above.exists())
    if not nearest.is_dir():
        raise ConfigError(f"{url}: {nearest} is a file; the root has to be a directory")
    return LocalStore(root)


def _open_bucket(url: str) -> Store:
    from manifests.stores.objects import ObjectStore

    if (
        not re.fullmatch(r"[a-z0-9]+://[A-Za-z0-9]([^?#*\[\]\s]*)", url)
        or "//" in url.split("://")[1]
    ):
        raise ConfigError(f"{url}: not a bucket and a prefix, such as s3://bucket/prefix")
    store = ObjectStore(url)
    store.check()
    return store


def probe(store: Store) -> None:
    """Race creators of one key, to see that the root lets exactly one win.

    Raises:
        StoreUnfit: None or several won, or what is there is not the winner's.
    """
    key = f"probe/{secrets.token_hex(16)}"
    racers = [f"racer {number}".encode() for number in range(_RACERS)]
    try:
        with ThreadPoolExecutor(_RACERS) as pool:
            won = list(pool.map(lambda data: store.create(key, data), racers))
        winners = [data for data, created in zip(racers, won, strict=True) if created]
        there = None
        with suppress(NotInStore):
            there = store.get(key)
        if len(winners) != 1 or there != winners[0] or store.create(key, b"late"):
            raise StoreUnfit(
                f"{store.url}: does not create objects only if absent ({len(winners)} of"
                f" {_RACERS} racing creates of one key won); use another root"
            )
    finally:
        store.delete(key)
