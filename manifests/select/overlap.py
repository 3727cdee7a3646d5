"""Whether two leaves hold the same record: the same shard, and bitmaps that meet."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def overlaps(a: pa.Table, b: pa.Table) -> int:
    """How many records two tables of shard rows share."""
    found = pc.index_in(a["key"], value_set=pc.unique(b["key"])).combine_chunks()
    # Keys are distinct in a table, so the number of a distinct value is that of its row.
    in_a = pc.indices_nonzero(found.is_valid())
    left = a.select(["rows", "picked", "documents"]).take(in_a)
    right = b.select(["rows", "picked", "documents"]).take(found.drop_null())
    whole_left = _is_whole(left)
    whole_right = _is_whole(right)
    some = np.where(whole_right, left["documents"].to_numpy(), 0)
    shared = np.where(whole_left, right["documents"].to_numpy(), some)
    both = pa.array(~whole_left & ~whole_right)
    bits = _bits(left.filter(both)) & _bits(right.filter(both))
    return int(shared.sum()) + int(np.bitwise_count(bits).sum())


def _is_whole(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(pc.equal(pc.binary_length(rows["picked"]), 0).to_numpy())


def _bits(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """All bitmaps one after the other; those of one shard are of one length in both tables."""
    return np.frombuffer(b"".join(rows["picked"].to_pylist()), dtype=np.uint8)
