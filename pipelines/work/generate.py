"""Generating: a shard of rows in, a shard of what a method made of each of them out.

The items of a task run side by side, together with those of the other open tasks of the worker, so
the tail of one shard never leaves the teacher idle. Everything an item asks is durable, so running
a task again over its completions repeats no call and gives the same bytes.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import pyarrow as pa

from generators.contract import Curator, Generator, Method, Tools, attempt
from infra.teacher.idle import Place
from manifests import layout
from manifests.commits import Commit, InputShard, read_commit, task_id
from manifests.completions import Completion, Prompt
from manifests.errors import ScriptoriumError
from manifests.records import Call, Reason, Record, Reject, Rejection, Seed, SeedDocument
from manifests.segments import read_segments, write_segment
from manifests.stats import TeacherUsage
from manifests.store import Store
from manifests.tables import ROW_TYPES, from_table, to_table
from manifests.tokenizers import Tokenizer
from pipelines.durable import TaskCompletions, when_there_is_room
from pipelines.work.outcome import Outcome, commit_outcome, quarantined, read_input, reject
from pipelines.work.spent import ACCEPTED, Charges, by_outcome, with_cost
from pipelines.worker import Worker

Source = SeedDocument | Seed
Made = tuple[str, Sequence[Seed | Record]] | Reject
"""What became of one item: its id and rows, or its reject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Runs one method over the rows of the step's input."""

    method: Curator | Generator
    makes: str
    """`seed` or `record`."""
    teachers: tuple[tuple[str, str], ...]
    """Role and `model@revision`: another teacher makes other data."""
    tokenizer: Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateTask:
    """One task of a generate step, as it travels to a worker."""

    work: Generate
    step: str
    input_step: str
    slice: int
    reuse: tuple[str, ...] = ()
    """Addresses of earlier steps whose answers may be taken for equal prompts."""
    keep_transcripts: bool = True
    alone: bool = False
    """Whether items are tried one by one, marked before: an earlier try killed its worker."""


class _Item:
    """The tools of one item: asks through the task's completions and remembers what was asked."""

    def __init__(self, row_id: str, worker: Worker, completions: TaskCompletions) -> None:
        self._id = row_id
        self._worker = worker
        self._completions = completions
        self._calls: dict[str, Call] = {}
        self._asking = 0

    async def complete(self, prompt: Prompt) -> Completion:
        with self._busy():
            return await self._complete(prompt)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """While any of its calls is under way the item is not between two of them."""
        idle = self._worker.idle
        self._asking += 1
        if self._asking == 1:
            idle.move(Place.BETWEEN, -1)
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                idle.move(Place.BETWEEN, 1)

    async def _complete(self, prompt: Prompt) -> Completion:
        pool = self._worker.pool
        key = prompt.key(pool.teacher_of(prompt.role))
        call = partial(pool.complete, prompt, affinity=self._id)
        ask = partial(self._ask, call)
        completion = await self._completions.get(key, prompt.role, ask)
        self._calls[key] = Call(
            prompt=key,
            completion=completion.digest,
            teacher=completion.teacher,
            role=prompt.role,
        )
        return completion

    async def _ask(self, call: Callable[[], Awaitable[Completion]]) -> Completion:
        with self._worker.idle.at(Place.WAITING):
            await self._worker.room.wait()
        return await self._worker.allowance.ask(call)

    @property
    def lineage(self) -> tuple[Call, ...]:
        """The calls of this item, in the order of their keys: the same in every replay."""
        return tuple(self._calls[key] for key in sorted(self._calls))


async def run_generate(task: GenerateTask, worker: Worker) -> Commit:
    """Run a task to its commit; the commit that stands.

    Raises:
        ServiceError, ConfigError: What stops the whole run (a teacher that refuses every call, a
            sandbox that cannot be had). Nothing of the task is lost; its completions are kept.
    """
    store, identity = worker.store, task_id(task.step, task.slice)
    done = await asyncio.to_thread(read_commit, store, task.step, identity)
    if done is not None:
        return done
    prefix = layout.completions_prefix(task.step, identity)
    with worker.idle.at(Place.PLANNED):
        table, shard = await asyncio.to_thread(read_input, store, task.input_step, task.slice)
        stored = await asyncio.to_thread(read_segments, store, prefix)
        reusable = await asyncio.to_thread(_reusable, store, task)
    completions = TaskCompletions(worker.journal, prefix, stored, reusable)
    made = await _all_items(task, table, worker, completions)
    outcome = await asyncio.to_thread(_outcome, task, made, shard, completions, store)
    await worker.journal.flush()
    return await _commit(task, worker, outcome, completions, prefix)


def _reusable(store: Store, task: GenerateTask) -> dict[str, Completion]:
    found: dict[str, Completion] = {}
    for step in task.reuse:
        prefix = layout.completions_prefix(step, task_id(step, task.slice))
        found = read_segments(store, prefix) | found
    return found


async def _all_items(
    task: GenerateTask, table: pa.Table, worker: Worker, completions: TaskCompletions
) -> list[Made]:
    row_type: type[Any] = SeedDocument if task.work.makes == "seed" else Seed
    rows: list[Source] = await asyncio.to_thread(from_table, row_type, table)
    if task.alone:
        return [await _one_alone(task, row, worker, completions) for row in rows]
    # The longest begin first: whatever is begun last is short, so the end of a run has no tail.
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at].text))
    running = {at: asyncio.ensure_future(_one(task, rows[at], worker, completions)) for at in order}
    try:
        return await asyncio.gather(*(running[at] for at in range(len(rows))))
    finally:  # one item may stop the run: the others of this task must not go on asking
        for item in running.values():
            item.cancel()


async def _one(
    task: GenerateTask, row: Source, worker: Worker, completions: TaskCompletions
) -> Made:
    async with _turn(worker):
        item = _Item(row.id, worker, completions)
        tools = Tools(complete=item.complete, execute=worker.sandbox)
        name = task.work.method.name
        try:
            method = cast(Method[Any, Any], task.work.method)
            made: Sequence[Seed | Record] | Rejection = await attempt(method, row, tools)
        except ScriptoriumError:
            raise
        except Exception as error:  # a bug met this item: box the item, keep the evidence
            where = traceback.extract_tb(error.__traceback__)[-1]
            evidence = f"{type(error).__name__}: {error} at {where.name}:{where.lineno}"
            return replace(quarantined(row.id, row.text, name, evidence), lineage=item.lineage)
        if not isinstance(made, Rejection) and not made:
            made = Rejection(reason=Reason.EMPTY, detail="the method gave no rows")
        if isinstance(made, Rejection):
            worker.counts.rejected += 1
            return replace(reject(row.id, row.text, name, made), lineage=item.lineage)
        worker.counts.accepted += 1
        unique = {out.id: out for out in made}
        return row.id, [replace(out, lineage=item.lineage) for out in unique.values()]


@asynccontextmanager
async def _turn(worker: Worker) -> AsyncIterator[None]:
    """One of the items that are worked on at once."""
    with worker.idle.at(Place.UNBEGUN):
        await worker.items.acquire()
    try:
        with worker.idle.at(Place.BEGUN), worker.idle.at(Place.BETWEEN):
            yield
    finally:
        worker.items.release()


async def _one_alone(
    task: GenerateTask, row: Source, worker: Worker, completions: TaskCompletions
) -> Made:
    tries, item = worker.tries, (task.step, task.slice, row.id)
    if await asyncio.to_thread(tries.deaths, *item) >= tries.most:
        evidence = f"its worker died or hung {tries.most} times while it ran alone"
        return quarantined(row.id, row.text, task.work.method.name, evidence)
    mark = await when_there_is_room(worker.journal, partial(tries.mark, *item))
    try:
        made = await _one(task, row, worker, completions)
    except BaseException:  # cancelled, or the whole run stops; the worker lives
        await asyncio.to_thread(tries.withdraw, mark)
        raise
    await asyncio.to_thread(tries.clear, *item)
    return made


def _outcome(
    task: GenerateTask,
    made: Sequence[Made],
    shard: InputShard,
    completions: TaskCompletions,
    store: Store,
) -> Outcome:
    row_type: type[Any] = ROW_TYPES[task.work.makes]
    rows: list[Any] = []
    item_ids: list[str] = []
    rejects: list[Reject] = []
    spent: list[tuple[str, int]] = []
    charges = Charges({key: answer for key, (_, answer) in completions.used.items()})
    for item in made:
        if isinstance(item, Reject):
            rejects.append(item)
            spent.append((item.reason, charges.of(item.lineage)))
        else:
            tokens = charges.of(item[1][0].lineage)  # all of them have that of the item
            spent.append((ACCEPTED, tokens))
            item_ids += [item[0]] * len(item[1])
            rows += with_cost(item[1], tokens)
    rows = task.work.tokenizer.count(rows, store)
    used = (_reproducible(*completions.used[key]) for key in sorted(completions.used))
    return Outcome(
        row_type=task.work.makes,
        table=to_table(rows, item_ids, row_type),
        rejects=rejects,
        inputs=(shard,),
        usage=TeacherUsage.of(used),
        tokenizer=task.work.tokenizer.name,
        spent=by_outcome(spent),
    )


def _reproducible(role: str, completion: Completion) -> tuple[str, Completion]:
    """The call without what the server's cache happened to hold: that is no part of the data."""
    usage = replace(completion.usage, cached_tokens=0)
    return role, replace(completion, usage=usage)


async def _commit(
    task: GenerateTask,
    worker: Worker,
    outcome: Outcome,
    completions: TaskCompletions,
    prefix: str,
) -> Commit:
    """Commit, then leave exactly the answers of the standing commit (or none) behind."""
    store = worker.store
    write = partial(commit_outcome, store, task.step, task.slice, outcome)
    commit, ours = await when_there_is_room(worker.journal, write)
    written = worker.journal.forget(prefix)
    used = {key: completion for key, (_, completion) in completions.used.items()}

    def tidy() -> None:
        # Where another run won with other answers, its segments stand and only ours go.
        segments = sorted(store.list(prefix) if ours else written)
        keep = ours and task.keep_transcripts and used
        kept = write_segment(store, prefix, used) if keep else ""
        for segment in segments:
            if segment != kept:
                store.delete(segment)

    await when_there_is_room(worker.journal, tidy)
    return commit
