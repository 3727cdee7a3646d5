"""What the simulated teacher writes satisfies what was asked for."""

import json
from enum import Enum
from random import Random
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from infra.simulated.patterns import Unsupported, matching
from infra.simulated.start import SimulatedTeacher
from tests.infra.simulated_client import ask, asked_for, question, said, written


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Step(BaseModel):
    lines: list[int] = Field(min_length=1, max_length=4)
    why: str = Field(min_length=10, max_length=60)
    colour: Colour
    next: "Step | None" = None


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float = Field(gt=0, lt=1)


class Square(BaseModel):
    kind: Literal["square"]
    side: int = Field(multiple_of=7, ge=20, le=40)


class Everything(BaseModel):
    steps: list[Step] = Field(max_length=3)
    shape: Annotated[Circle | Square, Field(discriminator="kind")]
    identifier: str = Field(pattern=r"^[a-z]{3}-\d{2,4}$")
    scores: dict[str, int]
    pair: tuple[int, str]
    tags: set[Literal["a", "b", "c"]] = Field(min_length=2)
    code: str
    maybe: int | str | None
    done: bool


@pytest.mark.parametrize("seed", range(30))
def test_an_answer_to_a_pydantic_schema_parses_with_that_model(seed: int) -> None:
    value = written(Everything.model_json_schema(), seed)
    parsed = Everything.model_validate(value)
    compile(parsed.code, "answer", "exec")


def integers() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-50, 50), st.integers(0, 30), st.integers(1, 7))
    return bounds.map(
        lambda b: (
            {"type": "integer", "minimum": b[0], "maximum": b[0] + b[1] + b[2] - 1}
            | ({"multipleOf": b[2]} if b[2] > 1 else {})
        )
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.tuples(st.integers(0, 80), st.integers(0, 80))
    sized = sizes.map(lambda s: {"type": "string", "minLength": s[0], "maxLength": s[0] + s[1]})
    patterns = st.sampled_from([r"^\d{3}-[A-F]+$", r"(yes|no)", r"[^a-z]x?$", r"^(\w+ ){2}\S$"])
    return sized | patterns.map(lambda p: {"type": "string", "pattern": p})


def composites(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["answer", "code", "line", "text", "ok", "score"])
    properties = st.dictionaries(names, inner, max_size=4)
    objects = st.tuples(properties, st.sets(names, max_size=3), st.booleans()).map(
        lambda o: (
            {"type": "object", "properties": o[0], "required": sorted(o[1] & o[0].keys())}
            | ({"additionalProperties": False} if o[2] else {})
        )
    )
    arrays = st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
        lambda a: {"type": "array", "items": a[0], "minItems": a[1], "maxItems": a[1] + a[2]}
    )
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    return objects | arrays | unions


LEAVES = (
    integers()
    | strings()
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}])
    | st.lists(st.integers() | st.text(max_size=5), min_size=1).map(lambda e: {"enum": e})
    | st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})
    | st.just({"$ref": "#/$defs/tree"})
)
TREE = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "format": "date"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "required": ["label", "children"],
    "additionalProperties": False,
}


@settings(max_examples=400, deadline=None)
@given(st.recursive(LEAVES, composites, max_leaves=8), st.integers(0, 2**32))
def test_an_answer_always_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    whole = {**schema, "$defs": {"tree": TREE}}
    try:
        value = written(whole, seed)
    except Unsupported as unsupported:
        assume("between" not in str(unsupported))  # no multiple lies in the range
        raise
    value = json.loads(json.dumps(value, allow_nan=False))
    jsonschema.Draft202012Validator(whole).validate(value)


def test_the_answers_that_the_server_gives_satisfy_their_schema(teacher: SimulatedTeacher) -> None:
    adapter = TypeAdapter(Everything)
    for seed in range(5):
        adapter.validate_json(said(ask(teacher, asked_for(adapter.json_schema(), seed=seed))))
    assert isinstance(
        json.loads(said(ask(teacher, question(response_format={"type": "json_object"})))), dict
    )


def test_samples_of_one_question_mostly_agree_on_its_short_answer(
    teacher: SimulatedTeacher,
) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer"}, "reason": {"type": "string"}},
        "required": ["answer", "reason"],
    }
    votes = [json.loads(said(ask(teacher, asked_for(schema, seed=s)))) for s in range(20)]
    counts = [[v["answer"] for v in votes].count(v["answer"]) for v in votes]
    assert max(counts) > 10
    assert len({v["reason"] for v in votes}) == 20


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"$ref": "#/$defs/missing"},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"enum": [1, 2]}},
        {"allOf": [{"minimum": 3}, {"minimum": 4}]},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_cannot_be_satisfied_is_refused_not_ignored(schema: Any) -> None:
    with pytest.raises(Unsupported):
        written(schema)


def test_text_for_a_pattern_matches_it() -> None:
    assert len({matching(r"^[A-Z][a-z]{2,5}(-\d+)?$", Random(s)) for s in range(20)}) > 10
