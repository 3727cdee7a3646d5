"""Commits read for lineage: raw, as far as they are looked at, and without the code that wrote."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from manifests.errors import NotInStore
from manifests.levels.findings import Kind
from manifests.levels.reading import Bad
from manifests.store import Store

ROW_TYPES = ("record", "tokendocument")
COMPOSITIONS = ("buckets", "generators", "sources", "licences", "languages", "teachers")


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a step, and the sha256 of what somebody read of it."""

    step: str
    task: str
    sha256: str

    @property
    def key(self) -> str:
        """Where its commit lies."""
        return f"{self.step}/commits/{self.task}.json"


def task_name(step: str, slice_index: int) -> str:
    """The id of a step's task on a slice."""
    parts = [part.encode() for part in ("task", step, str(slice_index))]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(framed).hexdigest()[:32]


class Commits:
    """The commits of a store; what step.json says is read once a step."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.inputs_of_step = cache(partial(_step_inputs, store))


def read_commit(commits: Commits, task: Task) -> dict[str, Any]:
    """The commit of a task; Bad where it is missing, is another's, or committed other bytes."""
    try:
        commit = json.loads(commits.store.get(task.key))
        has = (commit["step"], commit["task"], task_name(task.step, commit["slice_index"]))
        sha256, inputs = commit["data"]["sha256"], inputs_of(commit)
    except NotInStore:
        raise Bad(Kind.MISSING, "the commit is not there") from None
    except (ValueError, LookupError, TypeError):
        raise Bad(Kind.CORRUPT, "is no commit") from None
    if has != (task.step, task.task, task.task):
        raise Bad(Kind.LINEAGE, "is the commit of another task")
    if sha256 != task.sha256:
        what = f"committed {str(sha256)[:12]}, and {task.sha256[:12]} was read of it"
        raise Bad(Kind.LINEAGE, what)
    if not inputs and (named := commits.inputs_of_step(task.step)):
        raise Bad(Kind.LINEAGE, f"names no inputs, and its step reads {', '.join(named)}")
    return dict(commit)


def inputs_of(commit: dict[str, Any]) -> list[Task]:
    """What a task read."""
    return [Task(one["step"], one["task"], one["sha256"]) for one in commit["inputs"]]


def _step_inputs(store: Store, step: str) -> list[str]:
    """The steps that step.json names as inputs; none where it names none."""
    key = f"{step}/step.json"
    try:
        named = json.loads(store.get(key)).get("inputs", [])
        return [str(one) for one in named]
    except NotInStore:
        raise Bad(Kind.MISSING, "its step has no step.json") from None
    except (ValueError, AttributeError, TypeError):
        raise Bad(Kind.CORRUPT, "its step.json is none") from None


def wrong_row(row: dict[str, Any], commit: dict[str, Any], tokenizer: str) -> list[str]:
    """In what a shard row is not as its commit has it."""
    try:
        data, stats = commit["data"], commit["stats"]
        told: dict[str, Any] = {
            "slice_index": commit["slice_index"],
            "bytes": data["bytes"],
            "rows": data["rows"],
            "row type": commit["row_type"] in ROW_TYPES,
            "tokenizer": stats["tokenizer"],
        }
        has = {name: row[name] for name in ("slice_index", "bytes", "rows")}
        has |= {"row type": True, "tokenizer": tokenizer}
        if not row["picked"]:  # the whole shard: then its numbers are those of the commit
            told |= _whole(stats)
            has |= {name: row[name] for name in _whole(stats)}
    except (LookupError, TypeError):
        return ["is no commit of records or token documents"]
    return [name for name in told if told[name] != has[name]]


def _whole(stats: dict[str, Any]) -> dict[str, Any]:
    """The columns of a shard row, from the statistics of its shard."""
    found: dict[str, Any] = {
        "documents": stats["rows"],
        "tokens": stats["tokens"] + stats["rows"],
        "lengths": [{"bin": b, "count": n} for b, n in stats["token_lengths"]["bins"]],
    }
    for name in COMPOSITIONS:
        volumes = stats[name]
        found[name] = [{"name": value, **volumes[value]} for value in sorted(volumes)]
    return found
