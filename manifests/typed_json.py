"""JSON as one of our own classes, every value exactly of its type.

For what is read on the way to a trainer's first batch: pydantic, which checks the same, takes 60 ms
of every process to come up (measured), longer than all the rest of opening a manifest.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin

_T = TypeVar("_T")
_Read = Callable[[Any, str], Any]


def parse_json(kind: type[_T], data: bytes) -> _T:
    """The dataclass in these bytes, which are UTF-8. Fields that it does not have are passed over.

    Raises:
        ValueError: They are no JSON, or a value is missing or of another type; says where.
    """
    try:
        # Decoded here: given bytes, `json` takes UTF-16, UTF-32 and a byte order mark too.
        value = json.loads(data.decode(), parse_constant=_refuse_constant)
        if b"\\u" in data:  # halves of a character, which no UTF-8 can say, raise
            json.dumps(value, ensure_ascii=False).encode()
        found: _T = _reader(cast(Any, kind))(value, "")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return found


@cache
def _reader(kind: Any) -> _Read:
    """What reads a value of this type; `at` is where it stands, for errors."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _of_fields(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _of_choices(kind)
    if get_origin(kind) is tuple and get_args(kind)[1:] == (...,):
        return _of_items(get_args(kind)[0])
    if get_origin(kind) is dict and get_args(kind)[0] is str:
        return _of_values(get_args(kind)[1])
    if isinstance(kind, UnionType):
        return _of_one(get_args(kind))
    if kind in (str, int, float, bool, NoneType):
        return _of_type(kind)
    raise TypeError(f"nothing reads {kind} from JSON")


def _of_fields(kind: Any) -> _Read:
    known = [(f.name, _reader(cast(Any, f.type))) for f in fields(kind)]
    wanted = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]

    def read(value: Any, at: str) -> Any:
        if type(value) is not dict:
            raise _wrong(at, "an object", value)
        for name in wanted:
            if name not in value:
                raise ValueError(f"{_inside(at, name)}: missing")
        given = {n: part(value[n], _inside(at, n)) for n, part in known if n in value}
        return kind(**given)

    return read


def _of_choices(kind: type[Enum]) -> _Read:
    choices = {member.value: member for member in kind}

    def read(value: Any, at: str) -> Any:
        if type(value) is not str or value not in choices:
            raise _wrong(at, "one of " + ", ".join(choices), value)
        return choices[value]

    return read


def _of_items(kind: Any) -> _Read:
    item = _reader(kind)

    def read(value: Any, at: str) -> Any:
        if type(value) is not list:
            raise _wrong(at, "a list", value)
        return tuple(item(one, _inside(at, number)) for number, one in enumerate(value))

    return read


def _of_values(kind: Any) -> _Read:
    part = _reader(kind)

    def read(value: Any, at: str) -> Any:
        if type(value) is not dict:
            raise _wrong(at, "an object", value)
        return {name: part(one, _inside(at, name)) for name, one in value.items()}

    return read


def _of_one(kinds: tuple[Any, ...]) -> _Read:
    """Of plain types, or of one that reads objects and null."""
    plain = {kind for kind in kinds if kind in (str, int, float, bool, NoneType)}
    others = [_reader(kind) for kind in kinds if kind not in plain]

    def read(value: Any, at: str) -> Any:
        if type(value) in plain:
            return value
        if len(others) == 1:
            return others[0](value, at)
        raise _wrong(at, " or ".join(sorted(kind.__name__ for kind in plain)), value)

    return read


def _of_type(kind: type) -> _Read:
    def read(value: Any, at: str) -> Any:
        # A bool is an int to Python, so it is the type that counts.
        if type(value) is not kind:
            raise _wrong(at, kind.__name__, value)
        return value

    return read


def _inside(at: str, name: str | int) -> str:
    return f"{at}.{name}" if at else str(name)


def _wrong(at: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{at or 'the object'}: expected {wanted}, found {value!r:.40}")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
