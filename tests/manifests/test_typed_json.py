import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from manifests.fingerprint import canonical_json
from manifests.objects.root import Descriptor, Leaf, Root
from manifests.resolve.types import Body, Head, Phase, Segment, Supply
from manifests.spec.types import Layout, TokenizerName
from manifests.typed_json import parse_json

A = Descriptor(digest="a" * 64, bytes=3, media="parquet")
BODY = Body(table="t", layout=Layout.STREAM, samples=7, tokens=100)
HEAD = Head(body=BODY, epoch=1, start=2, count=4)
SUPPLY = Supply(leaf="web", quota=8, body=BODY, cursor=0)
SUPPLIES = (SUPPLY, replace(SUPPLY, leaf="wéb", head=HEAD))
ROOT = Root(
    name="mix",
    seed=1,
    tokenizer=TokenizerName(name="t@1", end_of_document=9),
    order="o",
    spec=A,
    leaves=(Leaf(name="web", source="web", table=A, shards=1, documents=2, tokens=3),),
    phases=(
        Phase(
            name="pretrain",
            after="",
            sequence_length=16,
            segments=(Segment(start=0, stop=16, first_step=0, global_batch=2, supplies=SUPPLIES),),
            train={"lr": 0.5, "steps": 3, "decay": True, "loss": "language_model"},
        ),
    ),
    probes={"pretrain": "p"},
    removed=A,
)
OTHERS: tuple[Any, ...] = (None, True, 1, 1.0, -0.5, "stream", "1", [], {}, [1], 10**30)


def changed(value: Any) -> Iterator[Any]:
    """The value with one part of it another, gone, or more."""
    yield from OTHERS
    if isinstance(value, dict):
        yield {**value, "more": 1}
        for name in value:
            yield {key: one for key, one in value.items() if key != name}
            yield from ({**value, name: one} for one in changed(value[name]))
    elif isinstance(value, list):
        yield [*value, *value]
        for at in range(len(value)):
            yield from ([*value[:at], one, *value[at + 1 :]] for one in changed(value[at]))


def test_just_what_pydantic_takes_is_taken_and_comes_out_the_same() -> None:
    adapter = TypeAdapter(Root)
    plain = json.loads(canonical_json(asdict(ROOT)))
    taken = refused = 0
    for value in [plain, *changed(deepcopy(plain))]:
        data = json.dumps(value).encode()
        try:
            expected = adapter.validate_json(data, strict=True)
        except ValidationError:
            refused += 1
            with pytest.raises(ValueError, match=r"missing|expected"):
                parse_json(Root, data)
        else:
            taken += 1
            found = parse_json(Root, data)
            assert repr(found) == repr(expected), "numbers of equal value have types of their own"
    assert taken > 100
    assert refused > 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"digest": "a", "bytes": "3", "media": "x"}', "bytes: expected int, found '3'"),
        ('{"digest": "a", "bytes": true, "media": "x"}', "bytes: expected int, found True"),
        ('{"digest": "a", "bytes": 3}', "media: missing"),
        ("[]", r"the object: expected an object, found \[\]"),
        ('{"digest": "a", "bytes": NaN, "media": "x"}', "NaN is no JSON"),
        ('{"digest": "\\ud800", "bytes": 3, "media": "x"}', "surrogates not allowed"),
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_json(Descriptor, text.encode())
    with pytest.raises(ValueError, match="utf-8"):
        parse_json(Descriptor, b'"\xff"')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"])
def test_no_other_encoding_is_taken(encoding: str) -> None:
    text = '{"digest": "a", "bytes": 3, "media": "x"}'
    assert parse_json(Descriptor, text.encode()).bytes == 3
    with pytest.raises(ValueError, match=r"utf-8|UTF-8|Expecting"):
        parse_json(Descriptor, text.encode(encoding))
