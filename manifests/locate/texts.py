"""The texts of a shard's rows; those of token documents stand in the records that they are of."""

import pyarrow as pa
import pyarrow.compute as pc

from manifests.commits import read_commit, task_id
from manifests.documents import ShardRow
from manifests.errors import NotInStore
from manifests.layout import data_file
from manifests.shards import Shard, read_shard
from manifests.store import Store


def texts_of(store: Store, row: ShardRow, slice_index: int) -> pa.ChunkedArray:
    """A text for each row of the file; null where the record is not there any more.

    Raises:
        DataError: The file, or one that it was tokenized from, is broken.
    """
    shard = Shard(sha256=row.sha256, rows=row.rows, bytes=row.bytes)
    table = read_shard(store, data_file(row.step, row.sha256), shard, ["id", "text"])
    if "text" in table.column_names:
        return table["text"]
    records = _records(store, row.step, slice_index)
    return records["text"].take(pc.index_in(table["id"], records["id"].combine_chunks()))


def _records(store: Store, step: str, slice_index: int) -> pa.Table:
    """Ids and texts of the rows that a task read."""
    found = [pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())})]
    commit = read_commit(store, step, task_id(step, slice_index))
    for shard in commit.inputs if commit else ():
        read = read_commit(store, shard.step, shard.task)
        if read is None or read.row_type != "record":
            continue
        try:
            key = data_file(shard.step, read.data.sha256)
            found.append(read_shard(store, key, read.data, ["id", "text"]).select(["id", "text"]))
        except NotInStore:
            continue
    return pa.concat_tables([table.replace_schema_metadata(None) for table in found])
