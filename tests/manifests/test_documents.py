from dataclasses import replace

import numpy as np
import pytest

from manifests.documents import ShardRow, read_columns, read_documents
from manifests.errors import DataError, NotInStore, ShardCorrupt
from manifests.layout import data_file
from manifests.select.rows import step_rows
from manifests.store import Store, open_store
from tests.manifests.committed import address
from tests.manifests.selectable import WORDS, commit_records, record

MADE = [record(f"seed {i}", tokens=i) for i in range(11)]


def shard_row(store: Store) -> ShardRow:
    commit_records(store, [MADE])
    return ShardRow.of(step_rows(store, address("make", "a"), WORDS.name).table, 0)


def test_the_documents_of_a_whole_shard_are_its_records(store: Store) -> None:
    documents = read_documents(store, shard_row(store))
    assert documents.ids.to_pylist() == [made.id for made in MADE]
    assert documents.tokens.tolist() == list(range(11))
    assert documents.rows.tolist() == list(range(11))


def test_picked_documents_come_in_row_order(store: Store) -> None:
    mask = np.isin(np.arange(11), [0, 3, 10])
    picked = np.packbits(mask, bitorder="little").tobytes()
    row = replace(shard_row(store), picked=picked)
    assert (row.mask == mask).all()
    documents = read_documents(store, row)
    assert documents.ids.to_pylist() == [MADE[i].id for i in (0, 3, 10)]
    assert documents.tokens.tolist() == documents.rows.tolist() == [0, 3, 10]


def test_documents_are_remembered_for_whoever_opens_the_same_root(store: Store) -> None:
    row = shard_row(store)
    documents = read_documents(store, row)
    assert read_documents(open_store(store.url), row) is documents
    assert read_documents(store, replace(row, picked=b"\x01\x00")) is not documents


def test_documents_of_changed_or_missing_files_are_refused(store: Store) -> None:
    row = shard_row(store)
    key = data_file(row.step, row.sha256)
    data = store.get(key)
    store.put(key, data[:100] + b"x" + data[101:])
    with pytest.raises(ShardCorrupt):
        read_documents(store, row)
    store.delete(key)
    with pytest.raises(NotInStore):
        read_documents(store, row)


def test_a_bitmap_of_another_length_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match="a bitmap of 1 bytes for 11 rows"):
        read_documents(store, replace(shard_row(store), picked=b"\x01"))


def test_a_column_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match="no whole column grade"):
        read_columns(store, shard_row(store), ("id", "grade"))
