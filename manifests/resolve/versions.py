"""Which selection holds where: the first one, and what is left of it after each change."""

from collections.abc import Mapping

from manifests.resolve.setting import Version


class Versions:
    """Versions by the number of the change that they hold from; 0 is the first.

    They take away more and more, so what one phase lost comes back in none after it.
    """

    def __init__(self, versions: Mapping[int, Version]) -> None:
        self._versions = versions
        self._newest: dict[str, int] = {"": 0}

    def begin(self, phase: str, after: str | None) -> Version:
        """What holds at the start of a phase: what held at the end of `after`; None: the first."""
        self._newest[phase] = 0 if after is None else self._newest[after]
        return self._versions[self._newest[phase]]

    def change(self, phase: str, number: int) -> Version:
        """What holds in a phase from a change on."""
        if number in self._versions:
            self._newest[phase] = max(self._newest[phase], number)
        return self._versions[self._newest[phase]]
