"""A store in this process's memory, for tests: `memory://<name>`, one set of objects a name.

A pickled copy sees the same objects in the same process only.
"""

import threading
import time
from collections.abc import Iterator

from manifests.errors import NotInStore
from manifests.stores.keys import DiskRoom, ObjectInfo, checked_key, checked_prefix

_LOCK = threading.Lock()
_OBJECTS: dict[str, dict[str, tuple[bytes, float]]] = {}
"""By name and key: the bytes, and when they were written."""


class MemoryStore:
    """Objects of one name in this process."""

    def __init__(self, name: str) -> None:
        self._name = name
        with _LOCK:
            self._objects = _OBJECTS.setdefault(name, {})

    def __reduce__(self) -> tuple[type["MemoryStore"], tuple[str]]:
        return MemoryStore, (self._name,)

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    def put(self, key: str, data: bytes) -> None:
        with _LOCK:
            self._objects[checked_key(key)] = bytes(data), time.time()

    def create(self, key: str, data: bytes) -> bool:
        checked_key(key)
        with _LOCK:
            if key in self._objects:
                return False
            self._objects[key] = bytes(data), time.time()
            return True

    def get(self, key: str) -> bytes:
        return self._found(key)[0]

    def exists(self, key: str) -> bool:
        with _LOCK:
            return checked_key(key) in self._objects

    def info(self, key: str) -> ObjectInfo:
        data, modified = self._found(key)
        return ObjectInfo(bytes=len(data), modified=modified)

    def room(self) -> DiskRoom | None:
        return None

    def list(self, prefix: str) -> Iterator[str]:
        checked_prefix(prefix)
        with _LOCK:
            found = sorted(key for key in self._objects if key.startswith(prefix))
        return iter(found)

    def delete(self, key: str) -> None:
        with _LOCK:
            self._objects.pop(checked_key(key), None)

    def _found(self, key: str) -> tuple[bytes, float]:
        with _LOCK:
            found = self._objects.get(checked_key(key))
        if found is None:
            raise NotInStore(f"no object {key} in {self.url}")
        return found
