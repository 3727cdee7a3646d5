"""What a task came to, and its way into the store: data, rejects, statistics, commit.

Whatever the work was, the ledger is taken from the rows themselves: items that gave rows, items
that were refused, items put into quarantine. First commit wins, so a task may be run by two at
once.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import layout
from manifests.commits import Commit, InputShard, Ledger, publish, read_commit, task_id
from manifests.errors import NotInStore
from manifests.fingerprint import sha256
from manifests.records import Record, Reject, Rejection, Seed, SeedDocument
from manifests.shards import Shard, read_shard, write_shard
from manifests.stats import TeacherUsage, measure
from manifests.store import Store
from manifests.tables import to_table

Row = SeedDocument | Seed | Record
POISON = "poison"
"""The reason of a quarantined item: it broke the program that worked on it, not a rule."""
EXCERPT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything a task made, in the order of its input."""

    row_type: str
    """A name in `manifests.tables.ROW_TYPES`."""
    table: pa.Table
    """The rows, with `item_id`."""
    rejects: Sequence[Reject]
    inputs: Sequence[InputShard] = ()
    usage: TeacherUsage = field(default_factory=TeacherUsage)
    tokenizer: str = ""
    spent: Mapping[str, int] = field(default_factory=dict)
    """Tokens that teachers wrote, by outcome of the item."""
    texts: pa.ChunkedArray | None = None
    """The text of each row, to be measured, where the rows have none."""
    token_files: Sequence[bytes] = ()
    """What the rows name by sha256."""

    @property
    def ledger(self) -> Ledger:
        """Planned = accepted + rejected + quarantined, counted from the rows."""
        reasons = Counter(reject.reason for reject in self.rejects)
        quarantined = reasons.pop(POISON, 0)
        accepted = len(self.table["item_id"].unique())
        return Ledger(
            planned=accepted + sum(reasons.values()) + quarantined,
            accepted=accepted,
            rejected=dict(sorted(reasons.items())),
            quarantined=quarantined,
            rows=self.table.num_rows,
        )


def commit_outcome(
    store: Store, step: str, slice_index: int, outcome: Outcome
) -> tuple[Commit, bool]:
    """Write an outcome and commit it; the commit that stands, and whether it says what ours does.

    Raises:
        StoreFull: No room left; nothing is committed, and trying again later is safe.
    """
    rejects = to_table(outcome.rejects, cls=Reject)
    rows = outcome.table
    if outcome.texts is not None:
        rows = rows.append_column("text", outcome.texts)
    stats = measure(rows, rejects, outcome.usage, outcome.tokenizer, outcome.spent)
    # Nothing is committed that names a file which is not there.
    tokens = tuple(_write_tokens(store, step, data) for data in outcome.token_files)
    ours = Commit(
        task=task_id(step, slice_index),
        step=step,
        slice_index=slice_index,
        row_type=outcome.row_type,
        inputs=tuple(outcome.inputs),
        data=write_shard(store, partial(layout.data_file, step), outcome.table),
        rejects=write_shard(store, partial(layout.rejects_file, step), rejects),
        tokens=tokens,
        ledger=outcome.ledger,
        stats=stats,
        nonce=secrets.token_hex(8),
    )
    standing = publish(store, ours)
    return standing, standing.digest == ours.digest


def _write_tokens(store: Store, step: str, data: bytes) -> Shard:
    rows = pq.read_metadata(pa.BufferReader(data)).num_rows
    shard = Shard(sha256=sha256(data), rows=rows, bytes=len(data))
    store.put(layout.tokens_file(step, shard.sha256), data)
    return shard


def read_input(store: Store, step: str, slice_index: int) -> tuple[pa.Table, InputShard]:
    """The rows that the task of this slice of an input step committed, checked, and their identity.

    Raises:
        NotInStore: That task has not committed.
        ShardCorrupt: The bytes are not the committed ones.
    """
    commit = read_commit(store, step, task_id(step, slice_index))
    if commit is None:
        raise NotInStore(f"{step} slice {slice_index} has no commit: run the step it belongs to")
    table = read_shard(store, layout.data_file(step, commit.data.sha256), commit.data)
    shard = InputShard(
        step=step, task=commit.task, sha256=commit.data.sha256, rows=commit.data.rows
    )
    return table, shard


def reject(item_id: str, text: str, by: str, rejection: Rejection) -> Reject:
    """A rejection as a row of the rejects file."""
    return Reject(
        item_id=item_id,
        reason=rejection.reason.value,
        detail=rejection.detail,
        by=by,
        text=text[:EXCERPT],
    )


def quarantined(item_id: str, text: str, by: str, evidence: str) -> Reject:
    """An item that broke its worker, with what is known of how."""
    return Reject(item_id=item_id, reason=POISON, detail=evidence, by=by, text=text[:EXCERPT])
