import typing
from dataclasses import is_dataclass
from enum import Enum

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from manifests.errors import DataError
from manifests.records import (
    Bucket,
    Call,
    Kind,
    Record,
    Reject,
    Seed,
    SeedDocument,
)
from manifests.shards import parquet_bytes
from manifests.tables import ROW_TYPES, from_table, schema_of, to_table
from manifests.token_rows import TokenDocument

# Whatever UTF-8 can hold; a lone surrogate cannot be.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN: dict[type, st.SearchStrategy[object]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
}


def values_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Any value of a row's field."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(TEXT, values_of(inner[1]), max_size=3)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{name: values_of(inner) for name, inner in hints.items()})
    return PLAIN[hint]


TYPES = [SeedDocument, Seed, Record, Reject, TokenDocument]


def item_ids_for(cls: type, rows: list[object]) -> list[str] | None:
    return None if cls is Reject else [f"item {number}" for number in range(len(rows))]


@pytest.mark.parametrize("cls", TYPES)
def test_rows_come_back_as_they_were_through_arrow_slices_and_parquet(cls: type) -> None:
    @settings(max_examples=60, deadline=None)
    @given(rows=st.lists(values_of(cls), max_size=5), start=st.integers(0, 5))
    def check(rows: list[object], start: int) -> None:
        table = to_table(rows, item_ids_for(cls, rows), cls)
        table.validate(full=True)
        assert table.schema.equals(schema_of(cls), check_metadata=True)
        assert from_table(cls, table) == rows
        assert from_table(cls, table.slice(start)) == rows[start:]
        assert from_table(cls, pa.concat_tables([table.slice(start), table])) == rows[start:] + rows
        data = parquet_bytes(table)
        read = pq.read_table(pa.BufferReader(data))
        assert from_table(cls, read) == rows
        assert parquet_bytes(read) == data, "the bytes depend on the rows only"

    check()


CALL = Call(prompt="p" * 64, completion="c" * 32, teacher="m@r", role="writer")


def record(number: int = 0, **changes: object) -> Record:
    return Record(
        **{
            "id": str(number),
            "text": "text",
            "bucket": Bucket.SYNTHETIC,
            "generator": "g@1",
            "seed_ids": ("s",),
            "source": "web",
            "licence": "MIT",
            "lang": "en",
            "lineage": (CALL,),
            **changes,
        }
    )


def test_equal_dictionaries_give_equal_bytes_whatever_their_order() -> None:
    one = record(parts={"a": "1", "b": "2"}, scores={"x": 1.0, "y": 2.0})
    two = record(parts={"b": "2", "a": "1"}, scores={"y": 2.0, "x": 1.0})
    assert parquet_bytes(to_table([one], ["i"])) == parquet_bytes(to_table([two], ["i"]))
    assert to_table([two], ["i"]).column("parts").to_pylist() == [
        [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    ]


def test_no_column_is_a_map_which_many_readers_refuse() -> None:
    kinds = [column.type for cls in TYPES for column in schema_of(cls)]
    assert not any(pa.types.is_map(kind) for kind in kinds)


def test_a_dictionary_with_a_null_in_it_is_refused() -> None:
    table = to_table([record(scores={"x": 1.0})], ["i"])
    kind = table.schema.field("scores").type
    for broken in ([None], [{"name": None, "value": 1.0}], [{"name": "x", "value": None}]):
        bad = table.set_column(
            table.schema.get_field_index("scores"), "scores", pa.array([broken], kind)
        )
        with pytest.raises(DataError, match="column scores of Record: 1 null"):
            from_table(Record, bad)


def test_the_item_of_every_row_is_a_column() -> None:
    table = to_table([record(0), record(1)], ["x", "y"])
    assert table.column("item_id").to_pylist() == ["x", "y"]
    reject = Reject(item_id="z", reason="parse", detail="", by="g@1", text="", lineage=())
    assert to_table([reject]).column("item_id").to_pylist() == ["z"]


def test_the_schema_names_the_row_and_its_version() -> None:
    for name, cls in ROW_TYPES.items():
        metadata = schema_of(cls).metadata
        assert metadata == {b"scriptorium.row": name.encode(), b"scriptorium.version": b"2"}
    assert set(ROW_TYPES) == {"seeddocument", "seed", "record", "reject", "tokendocument"}


def test_every_field_of_a_row_has_a_column() -> None:
    for cls in TYPES:
        columns = set(schema_of(cls).names)
        assert columns == set(cls.__slots__) | {"item_id"}


def test_columns_of_other_readers_are_taken_and_extra_ones_left_out() -> None:
    table = to_table([record()], ["i"])
    wide = table.set_column(1, "text", table.column("text").cast(pa.large_string()))
    wide = wide.append_column("score", pa.array([0.5]))
    assert from_table(Record, wide) == [record()]


def test_a_table_that_breaks_the_contract_says_which_column() -> None:
    table = to_table([record()], ["i"])
    broken = {
        "no column text": table.drop_columns(["text"]),
        "column text of Record: 1 null": table.set_column(1, "text", pa.array([None], pa.string())),
        "column bucket of Record: 'shop'": table.set_column(4, "bucket", pa.array(["shop"])),
        "column rounds of Record": table.set_column(11, "rounds", pa.array(["many"])),
        "column turns of Record": table.set_column(2, "turns", pa.array([1])),
    }
    for says, bad in broken.items():
        with pytest.raises(DataError, match=says):
            from_table(Record, bad)


def test_a_text_that_is_not_unicode_is_a_data_error_that_names_the_column() -> None:
    with pytest.raises(DataError, match="column text of Record: not valid Unicode"):
        to_table([record(text="a\ud800")], ["i"])
    with pytest.raises(DataError, match="column parts of Record"):
        to_table([record(parts={"a": "\udc00"})], ["i"])


def test_misuse_is_an_error_at_once() -> None:
    document = SeedDocument(
        id="", source="", url="", licence="", lang="", kind=Kind.CODE, title="", text="", sha256=""
    )
    with pytest.raises(ValueError, match="1 item_ids for 2 rows"):
        to_table([record(0), record(1)], ["x"])
    with pytest.raises(ValueError, match="item_ids must be given"):
        to_table([record()])
    with pytest.raises(ValueError, match="cls must say"):
        to_table([], [])
    with pytest.raises(TypeError, match="more than one type"):
        to_table([record(), document], ["x", "y"])
