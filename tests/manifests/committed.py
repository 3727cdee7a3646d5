"""Small committed steps to test against, written as a run writes them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from manifests import layout
from manifests.commits import Commit, InputShard, Ledger, publish, task_id
from manifests.completions import Completion, FinishReason, Usage
from manifests.fingerprint import canonical_json, content_id
from manifests.records import Bucket, Record, Reject, record_id
from manifests.shards import write_shard
from manifests.stats import TeacherUsage, measure
from manifests.store import Store
from manifests.tables import to_table

GENERATOR = "rewrite@1"
TEACHER = "some/model@abc"


def address(name: str, fill: str = "0") -> str:
    return f"steps/{name}@1/{fill * 32}"


def item(name: object) -> str:
    return content_id("item", str(name))


def record(seed: str, index: int = 0, text: str | None = None) -> Record:
    text = f"Text {index} about {seed}." if text is None else text
    return Record(
        id=record_id(GENERATOR, seed, text, index),
        text=text,
        bucket=Bucket.WEB_REWRITE,
        generator=GENERATOR,
        seed_ids=(seed,),
        source="web",
        licence="CC0-1.0",
        lang="en",
        tokens=len(text.split()),
    )


def reject(item_id: str, reason: str) -> Reject:
    return Reject(item_id=item_id, reason=reason, detail="why", by=GENERATOR, text="")


def usage(calls: int) -> TeacherUsage:
    answer = Completion(
        text="",
        finish_reason=FinishReason.STOP,
        teacher=TEACHER,
        usage=Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=2),
    )
    return TeacherUsage.of(("writer", answer) for _ in range(calls))


def describe(store: Store, step: str, slices: int) -> None:
    store.put(layout.step_file(step), canonical_json({"address": step, "slices": slices}))


def commit_of(
    store: Store,
    step: str,
    slice_index: int,
    rows: Mapping[str, Sequence[Record]],
    refused: Mapping[str, str] | None = None,
    inputs: Sequence[InputShard] = (),
    nonce: str = "one",
) -> Commit:
    """The commit, not yet published, of items and their rows and of refused items' reasons."""
    refused = refused or {}
    flat = [(name, row) for name, made in rows.items() for row in made]
    table = to_table([row for _, row in flat], [name for name, _ in flat], Record)
    rejects = to_table([reject(name, why) for name, why in refused.items()], cls=Reject)
    reasons = Counter(refused.values())
    quarantined = reasons.pop("poison", 0)
    return Commit(
        task=task_id(step, slice_index),
        step=step,
        slice_index=slice_index,
        row_type="record",
        inputs=tuple(inputs),
        data=write_shard(store, partial(layout.data_file, step), table),
        rejects=write_shard(store, partial(layout.rejects_file, step), rejects),
        ledger=Ledger(
            planned=len(rows) + len(refused),
            accepted=len(rows),
            rejected=dict(reasons),
            quarantined=quarantined,
            rows=len(flat),
        ),
        stats=measure(table, rejects, usage(len(flat)), "words@1"),
        nonce=nonce,
    )


def input_of(commit: Commit) -> InputShard:
    return InputShard(
        step=commit.step, task=commit.task, sha256=commit.data.sha256, rows=commit.data.rows
    )


SOURCE = address("read", "a")
STEP = address("rewrite", "b")


def commit_two_steps(store: Store, slices: int = 3, items: int = 8) -> list[Commit]:
    """A step that reads sources and one that reads it, both complete; the latter's commits.

    In each slice of the second step, one item was refused, one is poison and one gave two rows.
    """
    describe(store, SOURCE, slices)
    describe(store, STEP, slices)
    commits = []
    for number in range(slices):
        names = [item(f"{number}/{i}") for i in range(items)]
        first = commit_of(store, SOURCE, number, {name: [record(name)] for name in names})
        publish(store, first)
        ids = [record(name).id for name in names]
        rows = {name: [record(name)] for name in ids[2:]}
        rows[ids[2]] = [record(ids[2], 0), record(ids[2], 1)]
        refused = {ids[0]: "refusal", ids[1]: "poison"}
        second = commit_of(store, STEP, number, rows, refused, [input_of(first)])
        commits.append(publish(store, second))
    return commits
