"""The schema for editors: as shipped, no stricter than the reader, and strict where it can be."""

import json
import random
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from manifests.errors import ConfigError
from manifests.spec.read import parse_mixture
from manifests.spec.schema import mixture_schema, schema_text
from tests.manifests.specs import specs, spelt
from tests.manifests.test_spec_canonical import GARBAGE, places
from tests.manifests.test_spec_read import GOOD, WRONG, changed
from tests.manifests.toml_text import toml

MIXTURES = Path(__file__).parents[2] / "manifests" / "mixtures"
SLOW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
ONLY_THE_READER_KNOWS = {
    *("shares below", "shares above", "a share beside a weight"),
    *("an unknown source", "a recall of a later phase", "a recall by the first phase"),
    *("a recall that is called like a source", "no budget", "a budget too many"),
    *("a phase after none that is there", "a circle", "a phase after itself"),
    *("a source in no phase", "a change of an unknown phase", "a change beyond its phase"),
    *("a step beyond its phase", "changes out of order", "a budget that is over"),
    *("a change whose rest is open", "a removal of an unknown source"),
    *("a removed source that is mixed", "a range upside down", "bounds out of order"),
    *("weights too few", "not a number", "no end", "a date"),
    *("packed documents that see each other", "documents that see each other and must not"),
    "a stream that must not glue",
}


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(mixture_schema())


def complaints(text: str) -> list[str]:
    return [error.message for error in validator().iter_errors(tomllib.loads(text))]


def test_the_shipped_schema_is_the_one_that_is_built() -> None:
    shipped = (MIXTURES / "mixture.schema.json").read_text("utf-8")
    remedy = "run python -m manifests.spec.schema > manifests/mixtures/mixture.schema.json"
    assert shipped == schema_text(), remedy


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(schema_text()))
    assert complaints(GOOD) == []


@pytest.mark.parametrize("what", sorted(set(WRONG) - ONLY_THE_READER_KNOWS))
def test_what_the_reader_refuses_the_schema_refuses_where_it_can(what: str) -> None:
    assert complaints(changed(*WRONG[what][0])) != []


def test_the_exceptions_are_all_needed() -> None:
    known = {what for what in ONLY_THE_READER_KNOWS if what != "a date"}
    assert known <= set(WRONG)
    assert [what for what in known if complaints(changed(*WRONG[what][0]))] == []


@SLOW
@given(specs(), st.randoms(use_true_random=False), GARBAGE)
def test_what_the_reader_takes_the_schema_takes(
    spec: dict[str, Any], chance: random.Random, garbage: object
) -> None:
    written = spelt(spec, chance)
    assert complaints(toml(written)) == []
    *path, last = chance.choice(places(written))
    parent = written
    for key in path:
        parent = parent[key]
    parent[last] = garbage
    try:
        parse_mixture(toml(written), "mix.toml")
    except ConfigError:
        return
    assert complaints(toml(written)) == []


def tables(schema: Any) -> list[dict[str, Any]]:
    """Every schema of a table with known keys."""
    if isinstance(schema, list):
        return [table for item in schema for table in tables(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("additionalProperties") is False else []
    return own + [table for item in schema.values() for table in tables(item)]


def test_every_key_has_help_for_the_editor() -> None:
    found = tables(mixture_schema())
    assert len(found) >= 10
    for table in found:
        for name, key in table["properties"].items():
            assert key["description"].endswith("."), name
