import secrets
from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import DataError, NotInStore, ShardCorrupt
from manifests.layout import object_file
from manifests.objects.ranges import (
    SHARD_ROWS,
    changed_ranges,
    ranges_of,
    read_table,
    write_table,
)
from manifests.objects.tree import Objects
from manifests.store import Store, open_store
from tests.manifests.tables_of_shards import key_of, shard_row, shard_rows


@pytest.fixture
def objects() -> Objects:
    return Objects(open_store(f"memory://{secrets.token_hex(6)}"))


def cutting(number: int) -> str:
    """A key that ends a range: its last 14 bits are zero."""
    return key_of(number)[:28] + "48c0"[number % 4] + "000"


def many_rows(count: int, cut_every: int) -> pa.Table:
    """Shard rows with a range for about every so many of them."""
    rows = [
        shard_row(number, key=key_of(number) if number % cut_every else cutting(number))
        for number in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=SHARD_ROWS)


def by_key(rows: pa.Table) -> pa.Table:
    return rows.sort_by("key")


def test_a_table_comes_back_by_key(store: Store) -> None:
    objects = Objects(store)
    rows = many_rows(60, 7)
    table = write_table(objects, rows)
    assert table.media == "json"
    assert read_table(objects, table.digest).equals(by_key(rows))
    assert len(ranges_of(objects, table.digest)) > 5


def test_columns_are_read_alone_in_the_order_asked_for(objects: Objects) -> None:
    rows = many_rows(30, 7)
    digest = write_table(objects, rows).digest
    names = ["tokens", "lengths", "key"]
    assert read_table(objects, digest, names).equals(by_key(rows).select(names))
    assert read_table(objects, digest, []).num_columns == 0


def test_an_empty_table_is_a_table(objects: Objects) -> None:
    table = write_table(objects, SHARD_ROWS.empty_table())
    assert ranges_of(objects, table.digest) == ()
    assert read_table(objects, table.digest).equals(SHARD_ROWS.empty_table())
    assert read_table(objects, table.digest, ["key"]).schema.names == ["key"]


def test_ranges_say_what_is_in_them(objects: Objects) -> None:
    rows = by_key(many_rows(60, 7))
    ranges = ranges_of(objects, write_table(objects, rows).digest)
    start = 0
    for found in ranges:
        part = rows.slice(start, found.shards)
        assert (found.first, found.last) == (part["key"][0].as_py(), part["key"][-1].as_py())
        assert found.documents == sum(part["documents"].to_pylist())
        assert found.tokens == sum(part["tokens"].to_pylist())
        assert found.bytes == objects.store.info(object_file(found.digest, "parquet")).bytes
        start += found.shards
    assert start == rows.num_rows


def test_ranges_end_where_the_last_14_bits_are_zero_and_nowhere_else(objects: Objects) -> None:
    ends = {"0000": True, "4000": True, "8000": True, "c000": True}
    ends |= {"1000": False, "2000": False, "f000": False, "0001": False, "0010": False}
    keys = [f"{number:028x}{end}" for number, end in enumerate(ends)]
    rows = [shard_row(number, key=key) for number, key in enumerate(keys)]
    table = write_table(objects, pa.Table.from_pylist(rows, schema=SHARD_ROWS))
    lasts = [found.last for found in ranges_of(objects, table.digest)]
    assert lasts == [key for key in keys if ends[key[-4:]]] + [keys[-1]]


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(40)), st.lists(st.integers(1, 39), max_size=4, unique=True))
def test_equal_rows_give_equal_digests_in_any_order_and_any_chunks(
    order: list[int], cuts: list[int]
) -> None:
    objects = Objects(open_store("memory://ranges-in-any-order"))
    rows = many_rows(40, 6)
    table = write_table(objects, rows)
    edges = [0, *sorted(cuts), 40]
    mixed = rows.take(order)
    parts = [mixed.slice(a, b - a) for a, b in pairwise(edges)]
    assert write_table(objects, pa.concat_tables(parts)) == table
    tagged = mixed.replace_schema_metadata({"made": "elsewhere"})
    assert write_table(objects, tagged) == table


def written(objects: Objects, rows: pa.Table) -> tuple[str, set[str]]:
    """The digest of the table, and the keys that writing it added to the store."""
    before = set(objects.store.list(""))
    digest = write_table(objects, rows).digest
    return digest, set(objects.store.list("")) - before


def edited(rows: pa.Table, drop: Sequence[int] = (), add: Sequence[int] = ()) -> pa.Table:
    kept = [row for row in rows.to_pylist() if row["slice_index"] not in drop]
    return pa.Table.from_pylist([*kept, *map(shard_row, add)], schema=SHARD_ROWS)


@pytest.mark.parametrize(
    ("drop", "add", "ranges"),
    [((), (1000,), 1), ((11,), (), 1), ((11,), (11,), 0), ((), (1000, 1001, 1002), 3)],
    ids=["one more", "one less", "none", "three more"],
)
def test_a_small_change_writes_the_ranges_it_touches_and_the_table(
    objects: Objects, drop: Sequence[int], add: Sequence[int], ranges: int
) -> None:
    rows = many_rows(300, 10)
    old, _ = written(objects, rows)
    assert len(ranges_of(objects, old)) == 31
    new, added = written(objects, edited(rows, drop, add))
    kinds = sorted(key.rpartition(".")[2] for key in added)
    assert kinds.count("json") == (1 if ranges else 0)
    assert 0 <= kinds.count("parquet") <= ranges
    if len(add) < 2:
        assert kinds.count("parquet") == ranges
    changed = changed_ranges(objects, old, new)
    gone = {row["slice_index"] for row in changed.old.to_pylist()}
    come = {row["slice_index"] for row in changed.new.to_pylist()}
    assert come - gone == set(add) - set(drop)
    assert gone - come == set(drop) - set(add)
    assert changed.old.num_rows < 100, "the rest is not even read"


def test_one_changed_shard_is_one_range_and_the_table(objects: Objects) -> None:
    rows = many_rows(300, 10)
    old, _ = written(objects, rows)
    changed = [row | {"tokens": 1} if row["slice_index"] == 55 else row for row in rows.to_pylist()]
    new, added = written(objects, pa.Table.from_pylist(changed, schema=SHARD_ROWS))
    assert sorted(key.rpartition(".")[2] for key in added) == ["json", "parquet"]
    before, after = changed_ranges(objects, old, new)
    different = [
        (a["slice_index"], a["tokens"], b["tokens"])
        for a, b in zip(before.to_pylist(), after.to_pylist(), strict=True)
        if a != b
    ]
    assert different == [(55, 77 + 55, 1)]


def test_a_boundary_that_comes_or_goes_cuts_or_joins_one_range(objects: Objects) -> None:
    rows = many_rows(300, 10)
    old, _ = written(objects, rows)
    new, added = written(objects, edited(rows, drop=[100]))
    assert len(ranges_of(objects, new)) == len(ranges_of(objects, old)) - 1
    assert len(added) == 2
    _, added = written(objects, rows)
    assert added == set()


def test_a_key_that_is_there_twice_is_refused(objects: Objects) -> None:
    with pytest.raises(ValueError, match=f"two shard rows have the key {key_of(3)}"):
        write_table(objects, shard_rows([1, 3, 2, 3]))
    assert list(objects.store.list("")) == []


@pytest.mark.parametrize("key", ["", "ab", "g" * 32, "A" * 32, "0" * 31, "0" * 33, "ä" * 16])
def test_what_is_no_key_is_refused(objects: Objects, key: str) -> None:
    rows = pa.Table.from_pylist([shard_row(1), shard_row(2, key=key)], schema=SHARD_ROWS)
    with pytest.raises(ValueError, match="not 32 hex digits"):
        write_table(objects, rows)


def test_another_schema_or_a_null_is_refused(objects: Objects) -> None:
    rows = shard_rows([1, 2])
    with pytest.raises(ValueError, match="not the schema of shard rows"):
        write_table(objects, rows.drop_columns(["teachers"]))
    null = pa.Table.from_pylist([shard_row(1, step=None)], schema=SHARD_ROWS)
    with pytest.raises(ValueError, match="never null: step"):
        write_table(objects, null)


def test_a_range_that_is_gone_or_broken_is_named(objects: Objects) -> None:
    digest = write_table(objects, many_rows(60, 7)).digest
    found = ranges_of(objects, digest)[2]
    key = object_file(found.digest, "parquet")
    data = objects.store.get(key)
    objects.store.put(key, data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(ShardCorrupt, match=found.digest):
        read_table(objects, digest, ["key"])
    objects.store.delete(key)
    with pytest.raises(NotInStore, match=found.digest):
        read_table(objects, digest)


@pytest.mark.parametrize("value", [{}, [], {"schema": "scriptorium.manifest/1", "ranges": []}])
def test_what_is_no_table_is_refused(objects: Objects, value: object) -> None:
    with pytest.raises(DataError, match="is no table of shards"):
        read_table(objects, objects.put_json(value).digest)


def test_a_range_of_other_rows_than_the_table_says_is_refused(objects: Objects) -> None:
    kept = write_table(objects, shard_rows([1, 2]))
    table = objects.get_json(kept)
    table["ranges"][0]["shards"] = 3
    with pytest.raises(DataError, match="not the 3 shard rows"):
        read_table(objects, objects.put_json(table).digest)
