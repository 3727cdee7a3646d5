"""Boxing poison: an item that keeps killing its worker goes to quarantine, and the run goes on.

When a task's worker has died twice, its items are tried one by one in a worker of their own. Before
each try a mark is put into the store and after it the marks are taken away, so marks that are left
count the deaths of that very item.
"""

import secrets
from dataclasses import dataclass

from manifests.commits import task_id

from manifests import layout
from manifests.store import Store


@dataclass(frozen=True, slots=True)
class Tries:
    """The marks of items that were tried alone."""

    store: Store
    most: int = 3
    """Deaths after which an item is quarantined: promise P7."""

    def mark(self, step: str, slice_index: int, item: str) -> int:
        """Mark a try of this item; how many deaths it has behind it."""
        prefix = self._prefix(step, slice_index, item)
        deaths = len(list(self.store.list(prefix)))
        if deaths < self.most:
            self.store.put(prefix + secrets.token_hex(8), b"")
        return deaths

    def clear(self, step: str, slice_index: int, item: str) -> None:
        """Take the marks of this item away: it came through."""
        for key in list(self.store.list(self._prefix(step, slice_index, item))):
            self.store.delete(key)

    def _prefix(self, step: str, slice_index: int, item: str) -> str:
        return f"{layout.attempts_prefix(step, task_id(step, slice_index))}{item}/"
