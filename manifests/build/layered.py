"""A store that writes to memory and reads what is not there from the store below: for plans."""

import heapq
import secrets
from collections.abc import Iterator
from itertools import groupby

from manifests.errors import NotInStore
from manifests.store import DiskRoom, ObjectInfo, Store
from manifests.stores.memory import MemoryStore


class Layered:
    """The store `below`, and over it what was written here; `new` has only the latter."""

    def __init__(self, below: Store) -> None:
        self.below = below
        self.new = MemoryStore(f"plan-{secrets.token_hex(8)}")

    @property
    def url(self) -> str:
        return self.below.url

    def put(self, key: str, data: bytes) -> None:
        self.new.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        return not self.exists(key) and self.new.create(key, data)

    def get(self, key: str) -> bytes:
        try:
            return self.new.get(key)
        except NotInStore:
            return self.below.get(key)

    def exists(self, key: str) -> bool:
        return self.new.exists(key) or self.below.exists(key)

    def info(self, key: str) -> ObjectInfo:
        try:
            return self.new.info(key)
        except NotInStore:
            return self.below.info(key)

    def room(self) -> DiskRoom | None:
        return self.new.room()

    def list(self, prefix: str) -> Iterator[str]:
        both = heapq.merge(self.new.list(prefix), self.below.list(prefix))
        return (key for key, _ in groupby(both))

    def delete(self, key: str) -> None:
        """Only what was written here can be taken back; what is below stays."""
        if not self.new.exists(key) and self.below.exists(key):
            raise PermissionError(f"{key} is below a plan, which changes nothing")
        self.new.delete(key)
