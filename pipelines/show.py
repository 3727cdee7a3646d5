"""Records with their lineage: from a text back to its seed and all that was asked for it.

Prompts are not stored, because they need not be: running the generator again over the stored
answers asks exactly the questions that it asked, which also proves that the record can be made
again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from manifests import layout
from manifests.commits import Commit
from manifests.completions import Completion, Prompt
from manifests.records import Record, Reject, Seed
from manifests.shards import read_shard
from manifests.store import Store
from manifests.tables import ROW_TYPES, from_table


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer."""

    prompt: Prompt
    completion: Completion


def rows(store: Store, commits: Sequence[Commit], limit: int, *, rejects: bool) -> list[object]:
    """The first rows of a step, in the order of its slices, or its rejects."""
    return list(islice(_rows(store, commits, rejects=rejects), limit))


def _rows(store: Store, commits: Sequence[Commit], *, rejects: bool) -> Iterator[object]:
    for commit in commits:
        if rejects:
            key = layout.rejects_file(commit.step, commit.rejects.sha256)
            yield from from_table(Reject, read_shard(store, key, commit.rejects))
        else:
            key = layout.data_file(commit.step, commit.data.sha256)
            yield from from_table(ROW_TYPES[commit.row_type], read_shard(store, key, commit.data))


def seed_of(store: Store, seeds: Sequence[Commit], record: Record) -> Seed | None:
    """The seed that a record was made from."""
    for commit in seeds:
        key = layout.data_file(commit.step, commit.data.sha256)
        for row in from_table(Seed, read_shard(store, key, commit.data)):
            if row.id in record.seed_ids:
                return row
    return None
