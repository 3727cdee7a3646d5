"""A root to build manifests from: steps of any number of shards, as complete runs leave them.

The five buckets of phi-4's pre-training mix, in the proportions of their unique tokens [R Table 5],
a step of token shards each. What a build reads is made whole, as large as in real runs: `step.json`
and the index (37 columns; some 30 bins of lengths a shard, two generators, two licences). Files of
documents and of tokens are there with the right names and sizes and hold nothing (sparse); commits
are left out: an index of all slices stands for them. Columns are made as arrays, so that a million
shards take half a minute.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from manifests import layout
from manifests.commits import task_id
from manifests.fingerprint import canonical_json
from manifests.index import SCHEMA
from manifests.shards import parquet_bytes
from manifests.sketches import BINS, bin_range
from manifests.store import open_store

Ints = npt.NDArray[np.int64]

TOKENIZER = "cl100k@0123456789ab"
BUCKETS = {"web": 1300, "web_rewrite": 290, "synthetic": 290, "code": 820, "acquired": 580}
"""Unique tokens, 10^9 [R Table 5]: shards are dealt out in proportion."""
SHARES = {"web": 15, "web_rewrite": 15, "synthetic": 40, "code": 20, "acquired": 10}
"""Percent of all tokens trained on [R Table 5]."""
TRAINED = 10_000
"""10^9 tokens trained on, of those unique ones [R]."""

LENGTH_BINS = 30
"""A factor of 13 between the shortest and the longest text of a shard."""
ROWS = 2000
"""Of a shard, in the mean."""

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_LENGTHS = np.array([bin_range(i).low for i in range(BINS)], dtype=np.int64)


def address(bucket: str) -> str:
    """The step that made a bucket's shards."""
    return f"steps/{bucket}_tokens@1/{'0123456789abcdef' * 2}"


def make(root: Path, shards: int, *, files: bool) -> None:
    """Steps of so many shards together, and `mixture.toml` over them."""
    store, chance = open_store(str(root)), np.random.default_rng(shards)
    unique, left = 0, shards
    for number, (bucket, weight) in enumerate(BUCKETS.items()):
        step, last = address(bucket), number + 1 == len(BUCKETS)
        count = left if last else shards * weight // sum(BUCKETS.values())
        left -= count
        table = index_table(step, bucket, count, chance)
        store.put(layout.step_file(step), canonical_json({"address": step, "slices": count}))
        store.put(layout.index_file(step), parquet_bytes(table))
        unique += int(table["tokens"].to_numpy().sum())
        if files:
            _sparse(root / step, table)
    (root / "mixture.toml").write_text(_spec(unique * TRAINED // sum(BUCKETS.values())))


def index_table(step: str, bucket: str, count: int, chance: np.random.Generator) -> pa.Table:
    """What `manifests.index` would write of `count` commits."""
    slices = np.arange(count, dtype=np.int64)
    rows = chance.integers(ROWS // 2, ROWS * 3 // 2, count)
    lengths, documents, tokens = _lengths(rows, chance)
    volume = SCHEMA.field("buckets").type
    reasons = SCHEMA.field("rejected").type
    rejected = documents // 20
    return pa.table(
        {
            "slice_index": slices,
            "task": pa.array([task_id(step, number) for number in range(count)], pa.string()),
            "row_type": _always("tokendocument", count),
            "data_sha256": _digests(count, chance),
            "data_bytes": tokens * 2 + chance.integers(0, 10_000, count),
            "rejects_sha256": _digests(count, chance),
            "rejects_bytes": rejected * 900,
            "token_files": _token_files(tokens, chance),
            "planned": documents + rejected,
            "accepted": documents,
            "rejected": _named(reasons, ["repetition"], rejected),
            "quarantined": np.zeros(count, dtype=np.int64),
            "rows": documents,
            "chars": tokens * 4,
            "tokenizer": _always(TOKENIZER, count),
            "tokens": tokens,
            **{
                f"{name}_p{percent}": chance.integers(100, 4000, count)
                for name in ("tokens", "chars")
                for percent in (50, 95, 99)
            },
            "lengths": lengths,
            "buckets": _named(volume, [bucket], documents, tokens),
            "generators": _named(volume, [f"{bucket}_a@1", f"{bucket}_b@1"], documents, tokens),
            "sources": _named(volume, [f"{bucket}-crawl-2024"], documents, tokens),
            "licences": _named(volume, ["CC-BY-4.0", "CC0-1.0"], documents, tokens),
            "languages": _named(volume, ["de", "en"], documents, tokens),
            "teachers": _named(volume, ["org/model@0123456789ab"], documents, tokens),
            "duplicates": documents // 100,
            "distinct": documents - documents // 100,
            "calls": documents * 2,
            "prompt_tokens": tokens * 3,
            "completion_tokens": tokens,
            "cached_tokens": tokens * 2,
            "finish_reasons": _named(reasons, ["length", "stop"], documents),
            "digest": _digests(count, chance),
        },
        schema=SCHEMA,
    )


def change_one_shard(root: Path) -> None:
    """Other bytes in one shard, as if its step had been run again: of the index one row differs."""
    path = root / layout.index_file(address("web"))
    table = pq.read_table(path)
    at, number = table.column_names.index("data_sha256"), table.num_rows // 2
    digests = table["data_sha256"].to_pylist()
    digests[number] = digests[number][::-1]
    changed = table.set_column(at, SCHEMA.field(at), pa.array(digests, pa.string()))
    open_store(str(root)).put(layout.index_file(address("web")), parquet_bytes(changed))


def _spec(tokens: int) -> str:
    """The shipped mixture `phi4_pretrain`, without what a trainer reads."""
    sources = "".join(
        f'\n[sources.{name}]\nfrom = "*_tokens@1"\nwhere = {{ bucket = "{name}" }}\n'
        for name in BUCKETS
    )
    mix = "".join(f'{name} = "{share}%"\n' for name, share in SHARES.items())
    return (
        'schema = "scriptorium.mixture/1"\nname = "phi4-pretrain"\nseed = 1234\n'
        f'\n[tokenizer]\nname = "{TOKENIZER}"\nend_of_document = 100257\n{sources}'
        f"\n[phases.pretrain]\ntokens = {tokens}\nsequence_length = 4096\nglobal_batch = 5760\n"
        f"\n[phases.pretrain.mix]\n{mix}"
    )


def _sparse(step: Path, table: pa.Table) -> None:
    """Files of nothing, with the names and sizes of the shards' documents and tokens."""
    tokens = table["token_files"].combine_chunks().flatten()
    kinds = {
        "data": (table["data_sha256"], table["data_bytes"]),
        "tokens": (tokens.field("sha256"), tokens.field("bytes")),
    }
    for kind, (digests, sizes) in kinds.items():
        (step / kind).mkdir(parents=True)
        for digest, size in zip(digests.to_pylist(), sizes.to_pylist(), strict=True):
            name = step / kind / f"{digest}.parquet"
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
            os.ftruncate(descriptor, size)
            os.close(descriptor)


def _lengths(rows: Ints, chance: np.random.Generator) -> tuple[pa.Array, Ints, Ints]:
    """Histograms of texts of so many rows, about; their rows and their tokens exactly."""
    count = len(rows)
    bell = np.exp(-(np.linspace(-2.2, 2.2, LENGTH_BINS) ** 2))
    share = bell * chance.uniform(0.7, 1.3, (count, LENGTH_BINS))
    counts = (rows[:, None] * share / share.sum(axis=1, keepdims=True)).astype(np.int64)
    first = chance.integers(50, 60, count)
    bins = first[:, None] + np.arange(LENGTH_BINS)
    held = counts > 0
    kind = SCHEMA.field("lengths").type
    entries = pa.StructArray.from_arrays(
        [pa.array(bins[held], pa.int32()), pa.array(counts[held])],
        fields=list(kind.value_type),
    )
    ends = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), entries, type=kind)
    return lists, counts.sum(axis=1), (counts * _LENGTHS[bins]).sum(axis=1)


def _named(kind: pa.DataType, names: Sequence[str], *amounts: Ints) -> pa.Array:
    """In every list all the names, the amounts divided among them."""
    count, many = len(amounts[0]), len(names)
    parts = []
    for amount in amounts:
        part = np.repeat(amount // many, many).reshape(count, many)
        part[:, 0] += amount - part.sum(axis=1)
        parts.append(pa.array(part.ravel()))
    texts = pa.array(list(names), pa.string()).take(pa.array(np.tile(np.arange(many), count)))
    entries = pa.StructArray.from_arrays([texts, *parts], fields=list(kind.value_type))
    ends = np.arange(count + 1, dtype=np.int32) * many
    return pa.ListArray.from_arrays(pa.array(ends), entries, type=kind)


def _digests(count: int, chance: np.random.Generator) -> pa.Array:
    """Texts of 64 hex digits, each another."""
    text = _HEX[chance.integers(0, 16, (count, 64), dtype=np.uint8)]
    ends = np.arange(count + 1, dtype=np.int32) * 64
    buffers = [pa.py_buffer(ends), pa.py_buffer(text)]
    return pa.StringArray.from_buffers(count, *buffers)


def _token_files(tokens: Ints, chance: np.random.Generator) -> pa.Array:
    """One a shard, of four bytes an id."""
    kind, count = SCHEMA.field("token_files").type, len(tokens)
    columns = [_digests(count, chance), pa.array(tokens * 4)]
    entries = pa.StructArray.from_arrays(columns, fields=list(kind.value_type))
    ends = pa.array(np.arange(count + 1, dtype=np.int32))
    return pa.ListArray.from_arrays(ends, entries, type=kind)


def _always(text: str, count: int) -> pa.Array:
    return pa.repeat(text, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--files", action="store_true", help="make sparse data files too")
    parser.add_argument("--change", action="store_true", help="change one shard of a root")
    given = parser.parse_args()
    if given.change:
        change_one_shard(given.root)
    else:
        make(given.root, given.shards, files=given.files)


if __name__ == "__main__":
    main()
