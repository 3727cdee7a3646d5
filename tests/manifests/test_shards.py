import dataclasses
import functools
import random
import secrets

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import layout
from manifests.errors import NotInStore, ShardCorrupt
from manifests.fingerprint import sha256
from manifests.shards import ROW_GROUP_ROWS, Shard, parquet_bytes, read_shard, write_shard
from manifests.store import Store, open_store

KEY_OF = functools.partial(layout.data_file, "steps/make@1/ff")


def table_of(rows: int) -> pa.Table:
    source = random.Random(7)
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    texts = [" ".join(source.choices(words, k=40)) for _ in range(rows)]
    return pa.table({"id": [str(number) for number in range(rows)], "text": texts})


def test_a_shard_is_read_back_and_named_by_its_bytes(store: Store) -> None:
    table = table_of(100)
    shard = write_shard(store, KEY_OF, table)
    key = KEY_OF(shard.sha256)
    assert shard == Shard(sha256=sha256(store.get(key)), rows=100, bytes=len(store.get(key)))
    assert read_shard(store, key, shard).equals(table)
    assert write_shard(store, KEY_OF, table) == shard
    assert list(store.list("")) == [key]


def test_an_empty_shard_is_a_shard(store: Store) -> None:
    shard = write_shard(store, KEY_OF, table_of(0))
    assert shard.rows == 0
    assert read_shard(store, KEY_OF(shard.sha256), shard).schema == table_of(0).schema


def test_the_bytes_do_not_depend_on_how_a_table_is_chunked_or_sliced() -> None:
    table = table_of(3 * ROW_GROUP_ROWS + 17)
    whole = parquet_bytes(table)
    pieces = pa.concat_tables([table.slice(0, 5), table.slice(5, 9000), table.slice(9005)])
    longer = pa.concat_tables([table_of(3), table]).slice(3)
    assert parquet_bytes(pieces) == whole
    assert parquet_bytes(longer) == whole
    groups = pq.ParquetFile(pa.BufferReader(whole)).metadata
    assert [groups.row_group(g).num_rows for g in range(groups.num_row_groups)] == [
        *[ROW_GROUP_ROWS] * 3,
        17,
    ]


def test_every_flip_and_every_cut_of_a_committed_shard_is_found() -> None:
    store = open_store(f"memory://{secrets.token_hex(6)}")
    shard = write_shard(store, KEY_OF, table_of(300))
    key = KEY_OF(shard.sha256)
    data = store.get(key)
    source = random.Random(20_26)
    for number in range(400):
        damaged = bytearray(data)
        if number % 2:
            place = source.randrange(len(data))
            damaged[place] ^= 1 << source.randrange(8)
        else:
            del damaged[source.randrange(len(data)) :]
        store.put(key, bytes(damaged))
        with pytest.raises(ShardCorrupt, match=r"has (sha256 \w+|\d+ bytes), committed"):
            read_shard(store, key, shard)
    store.put(key, data)
    assert read_shard(store, key, shard).num_rows == 300


def test_a_reader_that_only_checks_pages_finds_every_flip_in_them() -> None:
    """What protects a reader of the files that knows nothing of our commits."""
    table = table_of(300)
    data = parquet_bytes(table)
    file = pq.ParquetFile(pa.BufferReader(data))
    columns = [file.metadata.row_group(0).column(c) for c in range(table.num_columns)]
    end = max(c.data_page_offset + c.total_compressed_size for c in columns)
    source = random.Random(4)
    wrong = {True: 0, False: 0}
    for _ in range(200):
        damaged = bytearray(data)
        damaged[source.randrange(4, min(end, len(data) - 8))] ^= 1 << source.randrange(8)
        for checked in wrong:
            try:
                read = pq.read_table(
                    pa.BufferReader(bytes(damaged)), page_checksum_verification=checked
                )
            except (OSError, pa.ArrowException, MemoryError):
                continue
            wrong[checked] += not read.equals(table)
    assert wrong[True] == 0
    assert wrong[False] > 0, "without checksums some flips read back as data, or this tests nothing"


def test_a_shard_swapped_for_another_sound_one_is_found(store: Store) -> None:
    shard = write_shard(store, KEY_OF, table_of(10))
    other = dataclasses.replace(shard, rows=11)
    with pytest.raises(ShardCorrupt, match="has 10 rows, committed 11"):
        read_shard(store, KEY_OF(shard.sha256), other)
    store.put(KEY_OF(shard.sha256), parquet_bytes(table_of(11)))
    with pytest.raises(ShardCorrupt):
        read_shard(store, KEY_OF(shard.sha256), shard)


def test_a_missing_shard_is_named(store: Store) -> None:
    shard = Shard(sha256="0" * 64, rows=1, bytes=1)
    with pytest.raises(NotInStore, match=shard.sha256):
        read_shard(store, KEY_OF(shard.sha256), shard)
