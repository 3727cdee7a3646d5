"""What may not be in a manifest's records: a list of ids, licences, generators, teachers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ConfigError
from manifests.levels.contents import Opened

COLUMNS = {
    "bucket": "bucket",
    "generator": "generator",
    "source": "source",
    "licence": "licence",
    "language": "lang",
}
_WORDS = (*COLUMNS, "teacher", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Banned:
    """What may not occur."""

    ids: frozenset[str] = frozenset()
    values: frozenset[tuple[str, str]] = frozenset()
    """(`licence`, `unknown`) and the like."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.values)

    def __len__(self) -> int:
        return len(self.ids) + len(self.values)

    def found_in(self, opened: Opened, rows: list[int]) -> list[str]:
        """What of it these rows of a file have, sorted."""
        has: set[str] = set()
        if self.ids:
            ids = opened.table["id"].to_pylist()
            has |= {f"id:{ids[row]}" for row in rows if ids[row] in self.ids}
        for word, column in COLUMNS.items():
            if wanted := {value for name, value in self.values if name == word}:
                values = opened.table[column].to_pylist()
                has |= {f"{word}:{v}" for v in wanted.intersection(values[row] for row in rows)}
        if wanted := {value for name, value in self.values if name == "teacher"}:
            teachers = opened.teachers()
            has |= {f"teacher:{v}" for row in rows for v in wanted.intersection(teachers[row])}
        return sorted(has)


def read_banned(file: Path) -> Banned:
    """The list in a file: an id a line, or `licence:unknown`, `generator:x@1`; `#` begins a remark.

    Raises:
        ConfigError: It cannot be read, or a line is neither.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    return parse_banned(lines, str(file))


def parse_banned(lines: Iterable[str], where: str) -> Banned:
    """As `read_banned`, of these lines."""
    ids: set[str] = set()
    values: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        word, colon, value = text.partition(":")
        if not colon:
            ids.add(text)
        elif word not in _WORDS or not value:
            raise ConfigError(
                f"{where}: line {number}: {text!r:.80} is no id and not one of"
                f" {', '.join(f'{known}:' for known in _WORDS)} with a value"
            )
        elif word == "id":
            ids.add(value)
        else:
            values.add((word, value))
    if not ids and not values:
        raise ConfigError(f"{where}: bans nothing; give an id or licence:NAME a line")
    return Banned(ids=frozenset(ids), values=frozenset(values))
