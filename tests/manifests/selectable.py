"""Committed records of many kinds to select from, and mixtures over them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from manifests.commits import Commit, publish
from manifests.documents import ShardRow, read_documents
from manifests.index import build_index
from manifests.records import Bucket, Call, Record, record_id
from manifests.spec.types import Entry, Mixture, PhaseSpec, SourceSpec, TokenizerName
from manifests.store import Store
from tests.manifests.committed import address, commit_of, describe, item

WORDS = TokenizerName(name="words@1", end_of_document=0)
"""What `commit_of` says that it counted with."""


def record(
    seed: str,
    *,
    tokens: int = 10,
    bucket: Bucket = Bucket.WEB,
    generator: str = "rewrite@1",
    source: str = "wiki",
    licence: str = "CC0-1.0",
    lang: str = "en",
    scores: Mapping[str, float] | None = None,
    rounds: int = 1,
    teachers: Sequence[str] = ("m@1",),
) -> Record:
    text = f"About {seed}."
    lineage = tuple(Call(prompt="p", completion="c", teacher=t, role="writer") for t in teachers)
    return Record(
        id=record_id(generator, seed, text),
        text=text,
        bucket=bucket,
        generator=generator,
        seed_ids=(seed,),
        source=source,
        licence=licence,
        lang=lang,
        scores=dict(scores or {}),
        rounds=rounds,
        tokens=tokens,
        lineage=lineage,
    )


def commit_records(
    store: Store,
    shards: Sequence[Sequence[Record]],
    name: str = "make",
    fill: str = "a",
    *,
    index: bool = True,
    tokenizer: str = WORDS.name,
) -> list[Commit]:
    """A complete step with these records, a slice a list; its commits by slice."""
    step = address(name, fill)
    describe(store, step, len(shards))
    commits = []
    for number, records in enumerate(shards):
        rows = {item(f"{number}/{i}"): [made] for i, made in enumerate(records)}
        commit = commit_of(store, step, number, rows)
        commit = replace(commit, stats=replace(commit.stats, tokenizer=tokenizer))
        commits.append(publish(store, commit))
    if index:
        build_index(store, step)
    return commits


def mixture(*sources: SourceSpec) -> Mixture:
    """A mixture of these, whose phases are of no concern here."""
    mix = tuple(Entry(name=source.name) for source in sources)
    phase = PhaseSpec(name="pretrain", tokens=1, sequence_length=8, global_batch=1, mix=mix)
    return Mixture(name="mixture", seed=1, tokenizer=WORDS, sources=sources, phases=(phase,))


def ids_of(store: Store, rows: pa.Table) -> list[str]:
    """The ids of all picked records, sorted."""
    return sorted(
        text
        for number in range(rows.num_rows)
        for text in read_documents(store, ShardRow.of(rows, number)).ids.to_pylist()
    )


def expected_ids(shards: Sequence[Sequence[Record]], wanted: Callable[[Record], bool]) -> list[str]:
    """The ids of the records that a plain loop finds, sorted."""
    return sorted(made.id for records in shards for made in records if wanted(made))


def assert_true_of_its_records(rows: pa.Table, shards: Sequence[Sequence[Record]]) -> None:
    """What each row counts is what its picked records have."""
    for row, number in zip(rows.to_pylist(), range(rows.num_rows), strict=True):
        mask = ShardRow.of(rows, number).mask
        picked = [shards[row["slice_index"]][i] for i in np.flatnonzero(mask).tolist()]
        assert row["documents"] == len(picked) > 0
        assert row["tokens"] == sum(made.tokens + 1 for made in picked)
        assert sum(entry["count"] for entry in row["lengths"]) == sum(m.tokens > 0 for m in picked)
        for column, composition in (
            ("bucket", "buckets"),
            ("generator", "generators"),
            ("source", "sources"),
            ("licence", "licences"),
            ("lang", "languages"),
        ):
            values = sorted({getattr(made, column) for made in picked})
            assert row[composition] == [
                {
                    "name": value,
                    "rows": sum(getattr(made, column) == value for made in picked),
                    "tokens": sum(m.tokens for m in picked if getattr(m, column) == value),
                }
                for value in values
            ]
        assert sum(entry["rows"] for entry in row["teachers"]) == len(picked)
