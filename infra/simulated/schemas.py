"""A JSON value that a schema allows, as a server with guided decoding always gives.

Most scalars are the same for every sample of a question, so that votes agree as a capable
teacher's would; texts differ. What it cannot honour is refused, never ignored.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from infra.simulated.patterns import Unsupported, matching
from infra.simulated.prose import code, phrase, prose
from infra.simulated.resolve import DEEPEST, Schema, resolved

_FORMATS = {
    "date": "2{:03d}-03-14",
    "date-time": "2{:03d}-03-14T09:26:53Z",
    "time": "09:26:53Z",
    "email": "reader{}@example.org",
    "uri": "https://example.org/{}",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66a{:03d}",
}
_SHORT = ("answer", "label", "name", "title")
"""Strings so named hold a few words."""
_TELLING = {
    "object": {"properties", "required", "minProperties", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
"""Keywords that tell what a schema without a type is about."""
_AGREE = 0.85
"""Share of scalars on which all samples of one question agree."""
_SHALLOW = 5
"""Nesting beyond which values are kept small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes values of one answer."""

    rng: Random
    """Differs from sample to sample."""
    question: int
    """The same for all samples of a question."""
    source: str
    """Where words come from."""
    root: Schema

    def value(self, schema: Any, *, room: int, name: str = "", depth: int = 0) -> Any:
        """A value for `schema` with about `room` characters of text in it.

        Raises:
            Unsupported: The schema uses what this writer does not know, or allows nothing.
        """
        if depth > DEEPEST:
            raise Unsupported("the schema recurses without an end")
        schema = resolved(schema, self.root, self.rng)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._scalar_rng(name).choice(list(schema["enum"]))
        kind = self._kind(schema)
        if kind == "object":
            return self._object(schema, room, depth)
        if kind == "array":
            return self._array(schema, room, name, depth)
        if kind == "string":
            return self._string(schema, room, name)
        if kind in ("integer", "number"):
            return self._number(schema, kind, name)
        if kind == "boolean":
            return self._scalar_rng(name).random() < 0.7
        if kind == "null":
            return None
        raise Unsupported(f"type {kind!r}")

    def _kind(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return str(resolved({"anyOf": [{"type": k} for k in kind]}, {}, self.rng)["type"])
        if kind is not None:
            return str(kind)
        for guess, keys in _TELLING.items():
            if schema.keys() & keys:
                return guess
        return "string"

    def _scalar_rng(self, name: str) -> Random:
        agree = self.rng.random() < _AGREE
        return Random(f"{self.question}/{name}") if agree else self.rng

    def _object(self, schema: Schema, room: int, depth: int) -> dict[str, Any]:
        known: Schema = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        least = schema.get("minProperties", 0)
        fields = {n: known.get(n, extra) for n in self._names(schema, known, least, depth)}
        usual = 2 if isinstance(extra, Mapping) and not known and depth <= _SHALLOW else 0
        wanted = max(least, min(usual, schema.get("maxProperties", usual)))
        for _ in range(100):
            if len(fields) >= wanted:
                break
            key = self.value(schema.get("propertyNames", {"maxLength": 12}), room=8)
            if key not in known:
                fields[key] = extra
        if len(fields) < least:
            raise Unsupported("an object with more properties than there are names")
        each = room // max(1, sum(_holds_text(n, s) for n, s in fields.items()))
        return {n: self.value(s, room=each, name=n, depth=depth + 1) for n, s in fields.items()}

    def _names(self, schema: Schema, known: Schema, least: int, depth: int) -> list[str]:
        """The declared properties that this object has: the required ones and most others."""
        required = schema.get("required", [])
        optional = [n for n in known if n not in required]
        share = 0.0 if depth > _SHALLOW else 0.8
        chosen = [n for n in optional if self.rng.random() < share]
        chosen += [n for n in optional if n not in chosen][: max(0, least - len(required))]
        if "maxProperties" in schema:
            chosen = chosen[: max(0, schema["maxProperties"] - len(required))]
        names = [n for n in known if n in required or n in chosen]
        return names + [n for n in required if n not in known]

    def _array(self, schema: Schema, room: int, name: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        least = schema.get("minItems", 0)
        usual = least if depth > _SHALLOW else max(least, len(first), 1) + self.rng.randint(0, 2)
        most = min(
            schema.get("maxItems", usual), len(first) if schema.get("items") is False else usual
        )
        count = max(least, min(usual, most))
        items: list[Any] = []
        for _ in range(count + 50):
            if len(items) == count:
                break
            part = first[len(items)] if len(items) < len(first) else schema.get("items", True)
            item = self.value(part, room=room // count, name=name, depth=depth + 1)
            # 1 and True are equal in Python but not in JSON; as keys to be unique both may go.
            if not schema.get("uniqueItems") or item not in items:
                items.append(item)
        if len(items) < least:
            raise Unsupported("an array with more unique items than there are values")
        return items

    def _string(self, schema: Schema, room: int, name: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if "pattern" in schema:
            for _ in range(50):
                if least <= len(text := matching(schema["pattern"], self.rng)) <= most:
                    return text
            raise Unsupported(f"no text of that length for pattern {schema['pattern']!r}")
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]].format(self._scalar_rng(name).randint(100, 999))
        lowered = name.lower()
        if any(word in lowered for word in ("code", "program")) and most >= 120 >= least:
            return code(self.rng)
        target = int(max(least, min(room, most)))
        short = target < 24 or any(word in lowered for word in _SHORT)
        write, rng = (phrase, self._scalar_rng(name)) if short else (prose, self.rng)
        text = write(rng, self.source, max(target, 1)) if most > 0 else ""
        while len(text) < least:
            text += " " + phrase(rng, self.source, 24)
        return text if len(text) <= most else text[: int(most)]

    def _number(self, schema: Schema, kind: str, name: str) -> int | float:
        rng = self._scalar_rng(name)
        low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
        high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
        if not math.isfinite(low):
            low = min(1 if "line" in name.lower() else 0, high - 9)
        high = min(high, low + (11 if "line" in name.lower() else 99))
        step = schema.get("multipleOf", 1)
        if step == int(step) and step > 0:
            closed = range(
                -(-math.ceil(low) // int(step)) * int(step), math.floor(high) + 1, int(step)
            )
            fits = [n for n in closed if _allowed(schema, n)]
            if fits:
                return rng.choice(fits)
        if kind == "number" and "multipleOf" not in schema:
            for value in (round(rng.uniform(low, high), 3), (low + high) / 2, low, high):
                if _allowed(schema, value):
                    return float(value)
        raise Unsupported(f"no {kind} between {low} and {high}")


def _holds_text(name: str, schema: Any) -> bool:
    """Whether a property takes a share of the room for text."""
    if not isinstance(schema, Mapping) or "enum" in schema or "const" in schema:
        return False
    if schema.get("type") in ("integer", "number", "boolean", "null"):
        return False
    if schema.get("type") == "array" and "items" in schema:
        return _holds_text(name, schema["items"])
    return not (schema.get("type") == "string" and any(word in name.lower() for word in _SHORT))


def _allowed(schema: Schema, value: float) -> bool:
    infinity = math.inf
    inside = schema.get("minimum", -infinity) <= value <= schema.get("maximum", infinity)
    above = schema.get("exclusiveMinimum", -infinity)
    return bool(inside and above < value < schema.get("exclusiveMaximum", infinity))
