"""TOML of plain values, for tests that make specs."""

import json
from decimal import Decimal
from typing import Any


def toml(spec: dict[str, Any]) -> str:
    """A whole file; nested tables stand inline."""
    return "".join(f"{json.dumps(key)} = {inline(value)}\n" for key, value in spec.items())


def inline(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f")
        case Decimal() | int():
            return str(value).lower()
        case float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(inline, value))}]"
        case dict():
            entries = (f"{json.dumps(str(key))} = {inline(item)}" for key, item in value.items())
            return f"{{ {', '.join(entries)} }}"
    return str(value.isoformat())
