"""JSON schemas without references, unions and intersections: one set of assertions at a time."""

from collections.abc import Mapping
from random import Random
from typing import Any

from infra.simulated.patterns import Unsupported

DEEPEST = 40
"""Nesting beyond which a schema is taken to have no end."""
_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples"}
    | {"deprecated", "readOnly", "writeOnly", "discriminator"}
)
_KNOWN = _ANNOTATIONS | frozenset(
    {"type", "enum", "const", "$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf"}
    | {"properties", "required", "additionalProperties", "propertyNames"}
    | {"minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems"}
    | {"uniqueItems", "minLength", "maxLength", "pattern", "format", "multipleOf"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)
_NULL = 0.15
"""Share of optional values that are null."""

Schema = Mapping[str, Any]


def resolved(schema: Any, root: Schema, rng: Random) -> Schema:
    """What `schema` asserts by itself, with one branch of each union drawn.

    Of `oneOf` any branch is drawn: that it satisfies no other is the schema's business.

    Raises:
        Unsupported: An unknown keyword, a reference that leads nowhere, or nothing is allowed.
    """
    for _ in range(DEEPEST):
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise Unsupported(f"a schema that allows nothing: {schema!r:.60}")
        if unknown := schema.keys() - _KNOWN:
            raise Unsupported(f"schema keyword {min(unknown)!r}")
        rest = dict(schema)
        if "$ref" in rest:
            schema = _merged(_target(rest.pop("$ref"), root), rest)
        elif "allOf" in rest:
            schema = _merged(*(resolved(part, root, rng) for part in rest.pop("allOf")), rest)
        elif "anyOf" in rest or "oneOf" in rest:
            branches = rest.pop("anyOf" if "anyOf" in rest else "oneOf")
            schema = _merged(_branch(branches, rng), rest)
        else:
            return schema
    raise Unsupported("references that go in circles")


def _target(ref: str, root: Schema) -> Schema:
    target: Any = root
    if not ref.startswith("#"):
        raise Unsupported(f"$ref {ref!r} outside the schema")
    for part in ref[1:].split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        target = target.get(step) if isinstance(target, Mapping) else None
    if not isinstance(target, Mapping):
        raise Unsupported(f"$ref {ref!r} leads nowhere")
    # The definitions at the root belong to the root alone.
    return {k: v for k, v in target.items() if target is not root or k != "$defs"}


def _branch(branches: list[Any], rng: Random) -> Schema:
    nothing = [b for b in branches if isinstance(b, Mapping) and b.get("type") == "null"]
    something = [b for b in branches if b not in nothing and b is not False]
    if not nothing and not something:
        raise Unsupported("a union that allows nothing")
    if nothing and (not something or rng.random() < _NULL):
        return nothing[0]
    branch: Schema = {} if (picked := rng.choice(something)) is True else picked
    return branch


def _merged(*schemas: Schema) -> dict[str, Any]:
    """One schema that asserts what all of these do."""
    result: dict[str, Any] = {}
    for schema in schemas:
        for key, value in schema.items():
            if key in _ANNOTATIONS or key not in result or result[key] == value:
                result[key] = value
            elif key == "required":
                result[key] = [*result[key], *(n for n in value if n not in result[key])]
            elif key in ("properties", "$defs") and not result[key].keys() & value.keys():
                result[key] = {**result[key], **value}
            else:
                raise Unsupported(f"two schemas at once that both set {key!r}")
    return result
