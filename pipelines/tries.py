"""Boxing poison: an item that keeps killing its worker goes to quarantine, and the run goes on.

When a task's worker has died twice, its items are tried one by one in a worker of their own. Before
each try a mark is put into the store and after it the marks are taken away, so marks that are left
count the deaths of that very item.
"""

import secrets
from dataclasses import dataclass

from manifests import layout
from manifests.commits import task_id
from manifests.store import Store


@dataclass(frozen=True, slots=True)
class Tries:
    """The marks of items that were tried alone."""

    store: Store
    most: int = 3
    """Deaths after which an item is quarantined: promise P7."""

    def deaths(self, step: str, slice_index: int, item: str) -> int:
        """How many deaths this item has behind it."""
        return len(list(self.store.list(self._prefix(step, slice_index, item))))

    def mark(self, step: str, slice_index: int, item: str) -> str:
        """Mark a try of this item; the mark.

        Raises:
            StoreFull: No room left.
        """
        mark = self._prefix(step, slice_index, item) + secrets.token_hex(8)
        self.store.put(mark, b"")
        return mark

    def withdraw(self, mark: str) -> None:
        """Take one mark away: the try was stopped from outside and says nothing of the item."""
        self.store.delete(mark)

    def clear(self, step: str, slice_index: int, item: str) -> None:
        """Take the marks of this item away: it came through."""
        for key in list(self.store.list(self._prefix(step, slice_index, item))):
            self.store.delete(key)

    def _prefix(self, step: str, slice_index: int, item: str) -> str:
        return f"{layout.attempts_prefix(step, task_id(step, slice_index))}{item}/"
