"""What a verification finds, as data: findings by level, and what each level looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from time import perf_counter

Progress = Callable[[str, int, int], None]
"""Told what is looked at, how many of it are done, and how many there are."""

NAMED = 3
"""Things that one finding names; the rest is a number."""


class Level(IntEnum):
    """How deep a manifest is looked into; each level takes in those before it."""

    L0 = 0
    L1 = 1
    L2 = 2
    L3 = 3
    L4 = 4
    L5 = 5

    @property
    def title(self) -> str:
        """What it is about."""
        return ("metadata", "presence", "bytes", "content", "order", "lineage")[self]


class Kind(StrEnum):
    """What is wrong with something."""

    MISSING = "missing"
    """It is not there."""
    CORRUPT = "corrupt"
    """Its bytes are not those that it is named with."""
    FORM = "form"
    """It is not as the format has it."""
    COUNT = "count"
    """Numbers that should agree do not."""
    RESOLUTION = "resolution"
    """It does not follow from the spec and the tables."""
    ORDER = "order"
    """Samples stand at other places than the manifest says."""
    LINEAGE = "lineage"
    """It is not what the step committed, or where that came from cannot be told."""
    BANNED = "banned"
    """It holds what must not be there."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One thing that is not as it must be."""

    level: Level
    kind: Kind
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.level.name} {self.kind}: {self.where}: {self.what}"


@dataclass(slots=True, kw_only=True)
class LevelReport:
    """One level, done."""

    level: Level
    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    """How many of what were looked at."""
    notes: list[str] = field(default_factory=list)
    """What was done another way than usual, or not at all, and why."""
    seconds: float = 0.0

    def found(self, kind: Kind, where: str, what: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level=self.level, kind=kind, where=where, what=what))

    def count(self, what: str, number: int = 1) -> None:
        """So many more were looked at."""
        self.checked[what] = self.checked.get(what, 0) + number


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A manifest, verified."""

    digest: str
    sample: int | None
    """Shards that L2 and L3 drew; None for all."""
    levels: tuple[LevelReport, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not any(self.findings)

    @property
    def findings(self) -> Iterator[Finding]:
        """Of all levels, in their order."""
        return (found for report in self.levels for found in report.findings)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = perf_counter()

    @property
    def seconds(self) -> float:
        return perf_counter() - self._start


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
