"""A phase of any number of samples, for `benchmarks.bench_trainer`.

A corpus is one real token file of documents of lognormal length, mean 1,000, and a step of as many
shards as the samples need, each of which stands for that file: an index without commits, as
`benchmarks.manifest_corpus` has it. Opening, mapping and checking are real; that the file is in the
page cache is as with every loader that is measured.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.trainer_peers.corpus import END_OF_DOCUMENT, VOCABULARY
from manifests import layout
from manifests.cli.building import make_plan, publish_plan
from manifests.commits import Commit, Ledger, publish, read_commits, task_id
from manifests.fingerprint import canonical_json, sha256
from manifests.index import build_index
from manifests.records import Bucket, Reject
from manifests.shards import Shard, parquet_bytes, write_shard
from manifests.stats import TeacherUsage, measure
from manifests.store import Store, open_store
from manifests.tables import to_table
from manifests.token_files import ROW_IDS, TokenFacts, token_file_bytes
from manifests.token_rows import Form, TokenDocument

TOKENIZER = "cl100k@0123456789ab"
SHARD_IDS = 1 << 26
"""Of the token file: 256 MiB."""
MEAN, SIGMA = 1000, 1.0
"""Tokens of a document."""
GLOBAL_BATCH = 5760
STEP = f"steps/web_tokens@1/{'0123456789abcdef' * 2}"


def document_lengths(ids: int) -> np.ndarray:
    """Tokens of documents that together, each with its end, are so many ids."""
    chance = np.random.default_rng(1)
    count = 2 * ids // MEAN
    lengths = chance.lognormal(np.log(MEAN) - SIGMA**2 / 2, SIGMA, count).astype(np.int64) + 1
    ends = np.cumsum(lengths + 1)
    kept = int(ends.searchsorted(ids, "left"))
    lengths = lengths[: kept + 1].copy()
    lengths[-1] -= ends[kept] - ids
    return lengths if lengths[-1] >= 0 else lengths[:-1]


def name_of(samples: int, length: int) -> str:
    """The manifest of so many samples in windows of this length."""
    return f"samples{samples}-of{length}"


def make_phase(root: Path, samples: int, length: int) -> None:
    """A manifest whose phase has about so many samples, an epoch of as many shards as that takes;
    all of them in one root.
    """
    store = open_store(str(root))
    if not store.exists(layout.step_file(STEP)):
        publish(store, _commit(store))
    store.put(layout.step_file(STEP), canonical_json({"address": STEP, "slices": 1}))
    build_index(store, STEP)
    (commit,) = read_commits(store, STEP)
    tokens = commit.stats.tokens + commit.ledger.rows
    _repeat(store, -(-samples * length // tokens) + 1)
    spec = root / "mixture.toml"
    spec.write_text(
        f'schema = "scriptorium.mixture/1"\nname = "{name_of(samples, length)}"\nseed = 1234\n'
        f'\n[tokenizer]\nname = "{TOKENIZER}"\nend_of_document = {END_OF_DOCUMENT}\n'
        '\n[sources.web]\nfrom = "web_tokens@1"\n'
        f"\n[phases.pretrain]\ntokens = {samples // GLOBAL_BATCH * GLOBAL_BATCH * length}\n"
        f"sequence_length = {length}\nglobal_batch = {GLOBAL_BATCH}\n"
        "\n[phases.pretrain.mix]\nweb = 1\n"
    )
    publish_plan(store, make_plan(store, spec), "", None)


def _commit(store: Store) -> Commit:
    """One real shard with its token file."""
    lengths = document_lengths(SHARD_IDS)
    ends = np.cumsum(lengths + 1)
    ids = np.random.default_rng(2).integers(0, VOCABULARY - 200, int(ends[-1]), dtype=np.uint32)
    ids[ends - 1] = END_OF_DOCUMENT
    facts = TokenFacts(
        ids=len(ids), tokenizer=TOKENIZER, vocabulary=VOCABULARY, end_of_document=END_OF_DOCUMENT
    )
    data = token_file_bytes(ids, facts)
    file = sha256(data)
    store.put(layout.tokens_file(STEP, file), data)
    rows = [
        TokenDocument(
            id=sha256(f"{number}".encode()),
            form=Form.TEXT,
            tokens=tokens,
            file=file,
            start=end - tokens - 1,
            bucket=Bucket.WEB,
            generator="crawl@1",
            seed_ids=(),
            source="web",
            licence="CC0-1.0",
            lang="en",
        )
        for number, (tokens, end) in enumerate(zip(lengths.tolist(), ends.tolist(), strict=True))
    ]
    table, rejects = to_table(rows, [row.id for row in rows]), to_table([], cls=Reject)
    return Commit(
        task=task_id(STEP, 0),
        step=STEP,
        slice_index=0,
        row_type="tokendocument",
        data=write_shard(store, partial(layout.data_file, STEP), table),
        rejects=write_shard(store, partial(layout.rejects_file, STEP), rejects),
        tokens=(Shard(sha256=file, rows=-(-len(ids) // ROW_IDS), bytes=len(data)),),
        ledger=Ledger(planned=len(rows), accepted=len(rows), rows=len(rows)),
        stats=measure(table, rejects, TeacherUsage(), TOKENIZER),
        nonce="one",
    )


def _repeat(store: Store, shards: int) -> None:
    """The step's index, and its plan, with so many slices like its only one."""
    key = layout.index_file(STEP)
    one = pq.read_table(pa.BufferReader(store.get(key)))
    table = one.take(pa.array(np.zeros(shards, dtype=np.int64)))
    tasks = pa.array([task_id(STEP, number) for number in range(shards)], pa.string())
    for name, column in (("slice_index", pa.array(np.arange(shards))), ("task", tasks)):
        at = table.column_names.index(name)
        table = table.set_column(at, one.schema.field(at), column)
    store.put(key, parquet_bytes(table))
    store.put(layout.step_file(STEP), canonical_json({"address": STEP, "slices": shards}))
