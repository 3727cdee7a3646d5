"""The right to one slot of a replica: who holds it, since when, and that it comes back once."""

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True, kw_only=True)
class Lease:
    """One attempt's slot."""

    affinity: int
    role: str
    since: float
    """On the monotonic clock."""


@dataclass(slots=True)
class Leases:
    """The leases of one replica; only the event loop's thread touches them."""

    granted: int = field(default=0, init=False)
    returned: int = field(default=0, init=False)
    _held: dict[Lease, None] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._held)

    def grant(self, affinity: int, role: str, now: float) -> Lease:
        """Occupy a slot."""
        lease = Lease(affinity=affinity, role=role, since=now)
        self._held[lease] = None
        self.granted += 1
        return lease

    def take_back(self, lease: Lease) -> None:
        """Free a slot.

        Raises:
            KeyError: It was given back before: a slot freed twice would be a slot too many.
        """
        del self._held[lease]
        self.returned += 1

    def oldest(self) -> float | None:
        """When the lease that is held longest began."""
        return next((lease.since for lease in self._held), None)
