"""How one value of a spec is read, and what an editor may know of it; one place for both.

A `Form` reads a TOML value and is a fragment of JSON Schema; a `Key` names one and says what it is
for; a `Table` is a TOML table under its keys, and every error out of it is one line that names the
file, the entry and what to write instead.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

from manifests.errors import ConfigError
from manifests.spec import quantities
from manifests.spec.quantities import shown

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of a file."""

    file: str
    path: tuple[str, ...] = ()

    def at(self, *keys: str | int) -> "Place":
        """The entry below."""
        return replace(self, path=(*self.path, *map(str, keys)))

    def error(self, message: str) -> ConfigError:
        """What is wrong here, as one line."""
        bare = [k if re.fullmatch(r"[\w-]+", k, re.ASCII) else shown(k) for k in self.path]
        line = ": ".join(part for part in (self.file, ".".join(bare), message) if part)
        return ConfigError(" ".join(line.split()))


@dataclass(frozen=True, slots=True)
class Form(Generic[T_co]):
    """What a value looks like; `read` raises a ValueError that says what to write."""

    read: Callable[[object], T_co]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Key(Generic[T_co]):
    """A key of a table."""

    name: str
    form: Form[T_co]
    about: str
    """For the editor's hover help and the page."""
    write: str = ""
    """How to write it, of a key that must be there; empty: it may be left out."""
    default: str = ""
    """What holds without it, for the page; empty where nothing does."""


class Table:
    """A TOML table whose keys are all known."""

    def __init__(self, value: object, keys: Sequence[Key[object]], place: Place) -> None:
        """Raises ConfigError: It is no table, or keys are missing or unknown."""
        self.place = place
        self._values = entries(value, place)
        known = [key.name for key in keys]
        for name in self._values:
            if name not in known:
                raise place.error(f"unknown key {shown(name)}; {nearest(name, known, 'it takes')}")
        for key in keys:
            if key.write and key.name not in self._values:
                raise place.error(f"{key.name} is missing; write {key.write}")

    def get(self, key: Key[T]) -> T | None:
        """The value, or None without one."""
        return self.need(key) if key.name in self._values else None

    def need(self, key: Key[T]) -> T:
        """The value of a key that is there."""
        return parsed(key.form, self._values[key.name], self.place.at(key.name))

    def given(self, keys: Iterable[Key[object]]) -> list[str]:
        """Which of these keys are there."""
        return [key.name for key in keys if key.name in self._values]


def entries(value: object, place: Place) -> dict[str, object]:
    """A table, whatever its keys."""
    return parsed(TABLE, value, place)


def parsed(form: Form[T], value: object, place: Place) -> T:
    """The value, read."""
    try:
        return form.read(value)
    except ValueError as error:
        raise place.error(str(error)) from None


def nearest(name: str, known: Iterable[str], takes: str) -> str:
    """Which name may have been meant, or all that there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"did you mean {near[0]}?" if near else f"{takes} {', '.join(names) or 'none'}"


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not a table; write {{ key = value }}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{shown(value)} is not a list; write [...]")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def texts(one: Form[str]) -> Form[tuple[str, ...]]:
    """One text or a list of them, which means the same in any order."""

    def read(value: object) -> tuple[str, ...]:
        if value == []:
            raise ValueError("the list is empty; name at least one, or leave the key out")
        found = value if isinstance(value, list) else [value]
        return tuple(sorted({one.read(item) for item in found}))

    several = {"type": "array", "items": one.schema, "minItems": 1}
    return Form(read, {"anyOf": [one.schema, several]})


def pattern(expression: str, what: str) -> Form[str]:
    """A text of this shape; `what` completes `"x" is not `."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(expression, value):
            raise ValueError(f"{shown(value)} is not {what}")
        return value

    return Form(read, {"type": "string", "pattern": expression})


E = TypeVar("E", bound=StrEnum)


def choice(kind: type[E]) -> Form[E]:
    """A member of an enumeration."""
    words = one_of(*kind)
    return Form(lambda value: kind(words.read(value)), words.schema)


def one_of(*words: str) -> Form[str]:
    """One of these texts."""
    known = [str(word) for word in words]

    def read(value: object) -> str:
        if value not in known or not isinstance(value, str):
            hint = nearest(value if isinstance(value, str) else "", known, "write one of")
            raise ValueError(f"{shown(value)} is not known here; {hint}")
        return value

    return Form(read, {"type": "string", "enum": known})


def whole(low: int) -> Form[int]:
    """A whole number from `low`."""
    schema = {"type": "integer", "minimum": low, "maximum": quantities.MOST}
    return Form(lambda value: quantities.whole(value, low), schema)


FLAG = Form(_flag, {"type": "boolean"})
NUMBER = Form(quantities.number, {"type": "number"})
TABLE = Form(_table, {"type": "object"})
LIST = Form(_list, {"type": "array"})
TEXT = pattern(r"^[^\x00-\x1f\x7f]+$", "a text of at least one character, on one line")
NAME = pattern(
    r"^[a-z0-9][a-z0-9_.-]{0,99}$",
    "a name: small letters, digits, _ . - and a letter or digit first, at most 100 in all",
)
TOKENS = Form(
    quantities.tokens,
    {"type": ["integer", "string"], "minimum": 1, "pattern": quantities.TOKENS},
)
SHARE = Form(
    quantities.share,
    {
        "type": ["number", "string"],
        "exclusiveMinimum": 0,
        "maximum": 1,
        "pattern": quantities.SHARE,
    },
)
RATIO = Form(
    quantities.ratio,
    {"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": quantities.RATIO},
)
