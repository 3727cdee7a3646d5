"""The JSON Schema of a mixture's TOML, for editors: completion, hover help, red underlines.

It is built from the reader's own keys. What it cannot say (that shares sum to 100 %, that names
exist) the reader says. `python -m manifests.spec.schema` prints it; the one that is shipped lies
beside the mixtures.
"""

import json
import sys
from collections.abc import Sequence

from manifests.spec import keys
from manifests.spec.facts import TRAIN
from manifests.spec.form import NAME, RATIO, SHARE, TEXT, Key, Schema


def mixture_schema() -> Schema:
    """JSON Schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A data mixture",
        "description": "Which committed shards are trained on, in which phase, and how much.",
        **_table(
            keys.MIXTURE,
            tokenizer=_ref("tokenizer"),
            sources=_named("source"),
            phases=_named("phase"),
            remove=_each("removal"),
            changes=_each("change"),
        ),
        "$defs": _definitions(),
    }


def schema_text() -> str:
    """The schema as it is shipped."""
    return json.dumps(mixture_schema(), indent=2, ensure_ascii=False) + "\n"


def _definitions() -> dict[str, Schema]:
    condition = {"where": _ref("condition"), "except": _ref("condition"), "strata": _ref("strata")}
    ranges = {"tokens": _ref("range"), "rounds": _ref("range")}
    scores = {"type": "object", "additionalProperties": _ref("range"), "propertyNames": TEXT.schema}
    return {
        "tokenizer": _table(keys.TOKENIZERS),
        "source": _table(keys.SOURCE, **condition),
        "condition": _table(keys.CONDITIONS, **ranges, scores=scores),
        "range": {**_table(keys.RANGE), "minProperties": 1},
        "strata": _strata(),
        "phase": _table(keys.PHASE, mix=_ref("mix"), train=_ref("train")),
        "train": _table(TRAIN),
        "mix": {**_named("entry"), "minProperties": 1},
        "entry": {
            "anyOf": [SHARE.schema, {**_table(keys.ENTRY), "oneOf": _one_of(keys.AMOUNT)}],
        },
        "removal": {**_table(keys.REMOVAL), "oneOf": _one_of(keys.REMOVAL)},
        "change": {
            **_table(keys.CHANGE, mix=_ref("mix"), remove=_each("removal")),
            "oneOf": _one_of(keys.WHEN),
            "anyOf": _one_of(keys.WHAT),
        },
    }


def _strata() -> Schema:
    """Numbers are cut at bounds and weighed by a list, texts by a table."""
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 1}
    factors = {"type": "array", "items": RATIO.schema, "minItems": 2}
    by_name = {"type": "object", "additionalProperties": RATIO.schema, "minProperties": 1}
    weights = {"anyOf": [keys.RULE.schema, factors, by_name]}
    texts = {"properties": {"by": {"enum": [key.name for key in keys.WORDS]}}}
    return {
        **_table(keys.STRATUM, bounds=numbers, weights=weights),
        "if": texts,
        "then": {
            "properties": {
                "bounds": False,
                "weights": {"anyOf": [keys.RULE.schema, {"type": "object"}]},
            }
        },
        "else": {
            "required": ["bounds"],
            "properties": {"weights": {"anyOf": [keys.RULE.schema, {"type": "array"}]}},
        },
    }


def _table(known: Sequence[Key[object]], **nested: Schema) -> Schema:
    """A table of these keys and no others; `nested` has the schemas of those that are tables."""
    properties = {
        key.name: {**(nested.get(key.name) or key.form.schema), "description": _help(key)}
        for key in known
    }
    required = [key.name for key in known if key.write]
    table: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": required} if required else table


def _help(key: Key[object]) -> str:
    return f"{key.about} Without it: {key.default}." if key.default else key.about


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _named(name: str) -> Schema:
    """A table whose keys a person chooses."""
    return {
        "type": "object",
        "propertyNames": NAME.schema,
        "additionalProperties": _ref(name),
        "minProperties": 1,
    }


def _each(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _one_of(known: Sequence[Key[object]]) -> list[Schema]:
    return [{"required": [key.name]} for key in known]


if __name__ == "__main__":
    sys.stdout.write(schema_text())
