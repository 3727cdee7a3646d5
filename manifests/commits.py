"""A commit: the one file whose existence says that a task is done, and what it made.

It is created only if absent, so of two tasks at once the first wins and the other's bytes are
garbage. It names the data and the rejects by sha256 and carries ledger and stats, so that nobody
has to list or open anything else to know how far a step is.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from manifests.errors import DataError, NotInStore
from manifests.fingerprint import canonical_json, content_id, fingerprint
from manifests.layout import commit_file, commits_prefix
from manifests.shards import Shard
from manifests.stats import ShardStats
from manifests.store import Store
from manifests.teacher_usage import added

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger(__name__)

READERS = 16
"""Commits that are read at once: they are small, so it is the round trips that take time."""


def task_id(step: str, slice_index: int) -> str:
    """Names the task on this slice of the step at this address: 32 hex digits."""
    return content_id("task", step, str(slice_index))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where every planned item went: `planned = accepted + rejected + quarantined`."""

    planned: int = 0
    """Input items."""
    accepted: int = 0
    """Items that gave at least one row."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Items refused, by reason."""
    quarantined: int = 0
    """Items that broke their worker."""
    rows: int = 0
    """Rows of the data shard."""

    @property
    def balanced(self) -> bool:
        """Whether no item is lost and none counted twice."""
        return self.planned == self.accepted + sum(self.rejected.values()) + self.quarantined

    def __add__(self, other: "Ledger") -> "Ledger":
        return Ledger(
            planned=self.planned + other.planned,
            accepted=self.accepted + other.accepted,
            rejected=added(self.rejected, other.rejected),
            quarantined=self.quarantined + other.quarantined,
            rows=self.rows + other.rows,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputShard:
    """A data shard of another step whose rows were a task's items."""

    step: str
    task: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a task made; the same, but for the nonce, whenever and wherever it ran."""

    task: str
    step: str
    slice_index: int
    row_type: str
    """A name in `manifests.tables.ROW_TYPES`."""
    inputs: tuple[InputShard, ...] = ()
    """None for a task that reads sources."""
    data: Shard
    rejects: Shard
    tokens: tuple[Shard, ...] = ()
    """Token files beside the data, of a task that tokenizes; their rows are not documents."""
    ledger: Ledger
    stats: ShardStats
    nonce: str
    """Of the writer: tells one's own commit from another's."""

    @property
    def digest(self) -> str:
        """Identity of everything but the nonce: 64 hex digits."""
        return fingerprint(asdict(replace(self, nonce="")))

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Commit":
        """The commit in these bytes; `where` names them in errors.

        Raises:
            DataError: They are not exactly what `to_json` writes.
        """
        from pydantic import ValidationError

        try:
            commit = _adapter().validate_json(data, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(part) for part in first["loc"]) or "the file"
            raise DataError(f"{where}: not a commit: {at}: {first['msg']}") from error
        if commit.to_json() != data:  # a field that is not ours, another order, a space
            raise DataError(f"{where}: not the canonical JSON of a commit; was it edited?")
        return commit


@cache
def _adapter() -> "TypeAdapter[Commit]":
    from pydantic import TypeAdapter

    return TypeAdapter(Commit)


def publish(store: Store, commit: Commit) -> Commit:
    """Commit a task whose shards are written; the commit that stands, ours or an earlier one.

    Raises:
        StoreFull: No room left; nothing is committed.
    """
    if not commit.ledger.balanced:
        raise ValueError(f"the ledger of task {commit.task} does not balance: {commit.ledger}")
    if commit.task != task_id(commit.step, commit.slice_index):
        raise ValueError(f"task {commit.task} is not slice {commit.slice_index} of {commit.step}")
    try:
        if store.create(commit_file(commit.step, commit.task), commit.to_json()):
            return commit
    except Exception:
        # The reply may be lost and the commit there all the same.
        if (found := read_commit(store, commit.step, commit.task)) is None:
            raise
    else:
        found = read_commit(store, commit.step, commit.task)
    if found is None:
        raise NotInStore(
            f"{store.url}: commit {commit.task} of {commit.step} was there and is gone"
        )
    if found.nonce != commit.nonce and found.digest != commit.digest:
        logger.warning(
            "task %s was committed before, with other content; the first stands", commit.task
        )
    return found


def read_commit(store: Store, step: str, task: str) -> Commit | None:
    """A task's commit, or None while there is none.

    Raises:
        DataError: The file is broken, or is the commit of another task.
    """
    key = commit_file(step, task)
    try:
        data = store.get(key)
    except NotInStore:
        return None
    commit = Commit.from_json(data, f"{store.url}: {key}")
    owner = (commit.step, commit.task, task_id(commit.step, commit.slice_index))
    if owner != (step, task, task):
        raise DataError(
            f"{store.url}: {key} is the commit of slice {commit.slice_index} of {commit.step};"
            " its name and its content do not agree"
        )
    return commit


def read_commits(store: Store, step: str) -> Iterator[Commit]:
    """All commits of a step, by task id.

    Raises:
        DataError: As `read_commit`.
    """
    prefix = commits_prefix(step)
    names = (key.removeprefix(prefix) for key in store.list(prefix))
    tasks = (name.removesuffix(".json") for name in names if name.endswith(".json"))

    def read(task: str) -> Commit | None:
        return read_commit(store, step, task)

    with ThreadPoolExecutor(READERS, thread_name_prefix="commits") as readers:
        while batch := list(islice(tasks, 64 * READERS)):
            # None: removed between listing and reading, so not committed.
            yield from (commit for commit in readers.map(read, batch) if commit is not None)
