"""Token steps whose files are broken, missing, swapped or say something else are found out."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from manifests.commits import Commit, read_commits
from manifests.layout import commit_file, data_file, tokens_file
from manifests.raw_files import RawFiles
from manifests.raw_token_files import parse_token_file
from manifests.shards import read_shard, write_shard
from manifests.store import Store, open_store
from manifests.token_files import ROW_IDS, TokenFacts, token_file_bytes
from manifests.verify import Report, Verifier
from tests.manifests.tokened import END, joined, mixed, texts, token_step, write_token_file

MADE = [mixed("a", 12), texts("b", 9)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def step(store: Store) -> str:
    return token_step(store, "made_tokens", *MADE, files=2)


def verified(store: Store, step: str) -> Report:
    return Verifier(RawFiles(store.url)).verify(step, complete=True)


def said(store: Store, step: str) -> str:
    return "\n".join(verified(store, step).lines()[:-1])


def first(store: Store, step: str) -> Commit:
    return min(read_commits(store, step), key=lambda commit: commit.slice_index)


def rewrite(store: Store, commit: Commit, **changes: Any) -> None:
    """Another commit in the place of this one, as only a bug or a vandal would put it."""
    changed = replace(commit, **changes)
    store.put(commit_file(commit.step, commit.task), changed.to_json())


def with_rows(store: Store, commit: Commit, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """The commit over changed rows, with all digests right."""
    table = read_shard(store, data_file(commit.step, commit.data.sha256), commit.data)
    rows = table.to_pylist()
    change(rows)
    changed = pa.Table.from_pylist(rows, schema=table.schema)
    rewrite(store, commit, data=write_shard(store, partial(data_file, commit.step), changed))


def test_every_flipped_bit_of_a_token_file_is_found(store: Store, step: str) -> None:
    key = tokens_file(step, first(store, step).tokens[0].sha256)
    data = store.get(key)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 20).tolist():
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        store.put(key, bytes(flipped))
        assert f"corrupt: {step}" in said(store, step)
    store.put(key, data)
    assert said(store, step) == ""


def said_in(data: bytes) -> dict[str, str]:
    metadata = pq.read_metadata(BytesIO(data)).metadata
    return {name.decode(): value.decode() for name, value in metadata.items()}


def other_layout(
    data: bytes,
    metadata: dict[str, str] | None = None,
    rows_of_a_group: int | None = None,
    **options: Any,
) -> bytes:
    """The same rows as any Parquet writer puts them; `metadata` in the place of the old."""
    table = pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
    out = BytesIO()
    defaults = {"compression": "NONE", "use_dictionary": False, "store_schema": False}
    with pq.ParquetWriter(out, table.schema, **{**defaults, **options}) as writer:
        writer.write_table(table, row_group_size=rows_of_a_group)
        writer.add_key_value_metadata(said_in(data) if metadata is None else metadata)
    return out.getvalue()


def test_the_layout_is_looked_at_where_a_digest_fits() -> None:
    ids = np.concatenate([joined(MADE[0])] * 20)
    facts = TokenFacts(ids=len(ids), tokenizer="t@1", vocabulary=260, end_of_document=END)
    good = token_file_bytes(ids, facts)
    assert len(ids) > 2 * ROW_IDS
    np.testing.assert_array_equal(parse_token_file(good).ids, ids)
    np.testing.assert_array_equal(parse_token_file(other_layout(good)).ids, ids)
    flipped = bytearray(good)
    flipped[good.index(ids[:8].astype("<u2").tobytes()) + 2] ^= 0x40
    said = said_in(good)
    wrong = {
        "cannot be read": bytes(flipped),
        "do not lie end to end": other_layout(good, compression="zstd"),
        "lie end to end": other_layout(good, rows_of_a_group=1),
        "end to end in one": other_layout(good, use_dictionary=True),
        "in one plain page": other_layout(good, data_page_size=100, write_batch_size=1),
        "does not say what it holds": other_layout(good, {}),
        "version 1": other_layout(good, {**said, "scriptorium.version": "2"}),
        "not of 16384 bytes": other_layout(good, {**said, "scriptorium.vocabulary": "65537"}),
        "not filled": other_layout(good, {**said, "scriptorium.ids": str(len(ids) - 2)}),
        "and says": other_layout(good, {**said, "scriptorium.ids": str(len(ids) + 4096)}),
        "id 259 is not below": other_layout(good, {**said, "scriptorium.vocabulary": "259"}),
    }
    for told, data in wrong.items():
        with pytest.raises(ValueError, match=told):
            parse_token_file(data)
    empty = token_file_bytes(np.zeros(0, np.int64), replace(facts, ids=0))
    assert len(parse_token_file(empty).ids) == 0


def test_a_missing_token_file_is_lost(store: Store, step: str) -> None:
    key = tokens_file(step, first(store, step).tokens[1].sha256)
    store.delete(key)
    assert f"no object {key}" in said(store, step)


def test_a_token_file_of_another_length_or_content_is_corrupt(store: Store, step: str) -> None:
    commit = first(store, step)
    one, other = (tokens_file(step, shard.sha256) for shard in commit.tokens)
    held = [store.get(key) for key in (one, other)]
    store.put(one, held[1])
    store.put(other, held[0])
    found = said(store, step)
    assert one in found
    assert other in found


def test_rows_that_name_each_other_s_files_are_found(store: Store, step: str) -> None:
    commit = first(store, step)
    one, other = (shard.sha256 for shard in commit.tokens)

    def swap(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["file"] = other if row["file"] == one else one

    with_rows(store, commit, swap)
    assert "no end of document behind the last id" in said(store, step)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start": 1}, "no end of document behind the last id"),
        ({"start": -1}, "no end of document behind the last id"),
        ({"start": 10**6}, "beyond its ids"),
        ({"tokens": -1}, "no end of document behind the last id"),
        ({"start": -1, "tokens": 1}, "begins before the row before it ends"),
    ],
)
def test_shifted_places_are_found(
    store: Store, step: str, change: dict[str, int], told: str
) -> None:
    def shift(rows: list[dict[str, Any]]) -> None:
        for name, by in change.items():
            rows[2][name] += by

    with_rows(store, first(store, step), shift)
    assert told in said(store, step)
    assert "token file" in said(store, step)


def test_rows_in_another_order_than_their_ids_are_found(store: Store, step: str) -> None:
    def swap(rows: list[dict[str, Any]]) -> None:
        rows[0], rows[1] = rows[1], rows[0]

    with_rows(store, first(store, step), swap)
    assert "begins before the row before it ends: rows 1" in said(store, step)


def test_spans_beyond_a_document_are_found(store: Store, step: str) -> None:
    def stretch(rows: list[dict[str, Any]]) -> None:
        rows[1]["loss"][-1]["stop"] = rows[1]["tokens"] + 2
        rows[1]["spans"][0]["start"] = -1

    with_rows(store, first(store, step), stretch)
    assert "loss beyond the document's ids: rows 1" in said(store, step)
    assert "spans beyond the document's ids: rows 1" in said(store, step)


def test_ids_of_no_document_are_found(store: Store, step: str) -> None:
    commit = first(store, step)
    low = joined(MADE[0][:6])
    longer = write_token_file(store, step, np.concatenate([low, low[:5], [END]]))

    def name(rows: list[dict[str, Any]]) -> None:
        for row in rows[:6]:
            row["file"] = longer.sha256

    rewrite(store, commit, tokens=(longer, commit.tokens[1]))
    with_rows(store, first(store, step), name)
    assert f"holds {len(low) + 6:,} ids, and its documents come to {len(low):,}" in said(
        store, step
    )


def test_rows_and_commit_name_the_same_token_files(store: Store, step: str) -> None:
    commit = first(store, step)
    rewrite(store, commit, tokens=commit.tokens[:1])
    assert f"token files not committed: {commit.tokens[1].sha256}" in said(store, step)
    more = write_token_file(store, step, joined(MADE[1]))
    rewrite(store, commit, tokens=(*commit.tokens, more))
    assert f"token files of no row: {more.sha256}" in said(store, step)
    table = read_shard(store, data_file(step, commit.data.sha256), commit.data)
    assert set(pc.unique(table["file"]).to_pylist()) == {one.sha256 for one in commit.tokens}


def test_what_a_commit_says_of_its_token_files_is_looked_at(store: Store, step: str) -> None:
    commit = first(store, step)
    one, other = commit.tokens
    rewrite(store, commit, tokens=(replace(one, rows=one.rows + 1), other))
    assert f"{one.rows} rows, committed {one.rows + 1}" in said(store, step)
    rewrite(store, commit, tokens=(replace(one, bytes=one.bytes + 1), other))
    assert f"{one.bytes} bytes, committed {one.bytes + 1}" in said(store, step)
    rewrite(store, commit, stats=replace(commit.stats, tokenizer="words@1"))
    assert "ids of utf8-bytes@1, committed words@1" in said(store, step)


def test_token_files_that_no_commit_names_are_orphans(store: Store, step: str) -> None:
    assert verified(store, step).orphans == 0
    write_token_file(store, step, np.array([1, 2, END]))
    report = verified(store, step)
    assert report.orphans == 1
    assert report.findings == []
