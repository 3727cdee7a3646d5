"""The store: whole objects under keys, over any fsspec URL, with put-if-absent."""

from collections.abc import Iterator
from typing import Protocol


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

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix` (which ends in a slash), sorted."""

    def delete(self, key: str) -> None:
        """Remove an object; no error when it is absent."""
