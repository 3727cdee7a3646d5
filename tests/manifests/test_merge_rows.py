"""Shards merge key by key, and records of one shard one by one."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.build.merge_rows import merge_rows
from manifests.objects.ranges import SHARD_ROWS
from manifests.records import Bucket
from manifests.select.picking import FACTS, part, with_parts
from manifests.select.rows import step_rows
from manifests.shards import parquet_file
from manifests.store import Store, open_store
from manifests.tokenizers import UTF8_BYTES
from tests.manifests.command_line import records
from tests.manifests.committed import address
from tests.manifests.selectable import commit_records

KEYS = [f"{n:032x}" for n in range(4)]
STATES = st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=4, max_size=4)
"""Of each key: not there, or one of three files."""


def rows(files: list[str | None]) -> pa.Table:
    made = [
        {
            "key": key,
            "step": "steps/x@1/0",
            "slice_index": number,
            "sha256": file * 64,
            "bytes": 1,
            "rows": 1,
            "picked": b"",
            "documents": 1,
            "tokens": 2,
            **{name: [] for name in SHARD_ROWS.names[9:]},
        }
        for number, (key, file) in enumerate(zip(KEYS, files, strict=True))
        if file
    ]
    return pa.Table.from_pylist(made, schema=SHARD_ROWS)


def expected(b: str | None, o: str | None, t: str | None, *, keep: bool) -> str | None:
    """What is there after a merge; `clash` where nobody knows."""
    if o == t or t == b:
        return o
    if o == b:
        return t
    if o and t:
        return "clash"
    return (o or t) if keep else None


@settings(max_examples=200, deadline=None)
@given(STATES, STATES, STATES, st.booleans())
def test_shards_merge_as_a_plain_loop_says(
    base: list[str | None], ours: list[str | None], theirs: list[str | None], keep: bool
) -> None:
    nowhere = open_store("memory://nowhere")
    found = merge_rows(nowhere, rows(base), rows(ours), rows(theirs), keep_removed=keep)
    should = [expected(*states, keep=keep) for states in zip(base, ours, theirs, strict=True)]
    there = dict(zip(found.rows["key"].to_pylist(), found.rows["sha256"].to_pylist(), strict=True))
    for key, file in zip(KEYS, should, strict=True):
        assert there.get(key) == (file * 64 if file and file != "clash" else None)
    assert sorted(found.conflicts) == [
        k for k, file in zip(KEYS, should, strict=True) if file == "clash"
    ]
    other = merge_rows(nowhere, rows(base), rows(theirs), rows(ours), keep_removed=keep)
    assert other.rows == found.rows
    assert (other.from_theirs == found.from_ours).all()
    assert merge_rows(nowhere, rows(base), rows(ours), rows(base)).rows == rows(ours)
    assert merge_rows(nowhere, rows(base), rows(base), rows(ours)).rows == rows(ours)


@settings(max_examples=30, deadline=None)
@given(*[st.lists(st.booleans(), min_size=9, max_size=9)] * 3, st.booleans())
def test_records_of_one_shard_merge_one_by_one(
    base: list[bool], ours: list[bool], theirs: list[bool], in_base: bool
) -> None:
    store, whole = one_shard()
    tables = [picking(store, whole, mask) for mask in (base, ours, theirs)]
    before = tables[0] if in_base else SHARD_ROWS.empty_table()
    found = merge_rows(store, before, tables[1], tables[2])
    was = base if in_base and any(base) else None
    should = [
        (t if o == was[n] else o) if was else (o and t)
        for n, (o, t) in enumerate(zip(ours, theirs, strict=True))
    ]
    if any(ours) and any(theirs) and ours != theirs:
        assert found.rows == picking(store, whole, should)
    assert found.conflicts == ()


def one_shard() -> tuple[Store, pa.Table]:
    store = open_store("memory://one-shard-to-merge")
    step = address("one", "a")
    if not list(store.list("steps/")):
        commit_records(store, records(Bucket.WEB, 1, 9, 5, "x"), "one", "a", tokenizer=UTF8_BYTES)
    return store, step_rows(store, step, UTF8_BYTES).table


def picking(store: Store, whole: pa.Table, mask: list[bool]) -> pa.Table:
    """The shard with these of its records."""
    if all(mask) or not any(mask):
        return whole if all(mask) else whole.slice(0, 0)
    sha = whole["sha256"][0].as_py()
    (key,) = [key for key in store.list("steps/") if sha in key]
    facts = parquet_file(store.get(key)).read(columns=list(FACTS))
    return with_parts(whole, np.zeros(0, dtype=np.int64), [part(0, facts, np.array(mask))])
