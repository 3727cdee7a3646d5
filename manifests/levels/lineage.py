"""L5: every shard is what its step committed, and commit by commit it leads to sources."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from manifests.levels.commits import Commits, Task, inputs_of, read_commit, task_name, wrong_row
from manifests.levels.findings import Kind, LevelReport, Progress, listed
from manifests.levels.metadata import Material
from manifests.levels.reading import Bad, at_once

_LOT = 32
"""Commits that one task of a thread reads: small files, of which there are many."""
_BATCH = 4096
"""Shard rows that are Python values at once."""

Row = dict[str, Any]
_Link = tuple[Task, tuple[Task, ...] | None, list[tuple[Kind, str]]]
"""A task, what it read (None where that cannot be told), and what is wrong with it."""


def check_lineage(
    material: Material, report: LevelReport, progress: Progress | None = None
) -> None:
    """From each shard row to its commit, and from there on, each commit once."""
    graph: dict[Task, tuple[Task, ...] | None] = {}
    done = 0
    total = sum(len(table.sizes) for table in material.tables.values())
    tokenizer, commits = material.root.tokenizer.name, Commits(material.store)
    for rows in _batches(material):
        lots = [rows[first : first + _LOT] for first in range(0, len(rows), _LOT)]
        for links in at_once(partial(_of_rows, commits, tokenizer), lots):
            _add(graph, links, report)
        done += len(rows)
        if progress:
            progress("commits of shards", done, total)
    shards = len(graph)
    waiting = _unseen(graph, list(graph))
    while waiting:
        chunks = [waiting[first : first + _LOT] for first in range(0, len(waiting), _LOT)]
        for links in at_once(partial(_of_tasks, commits), chunks):
            _add(graph, links, report)
        waiting = _unseen(graph, waiting)
        if progress:
            progress("commits before them", len(graph) - shards, len(graph) - shards + len(waiting))
    report.count("shard rows", done)
    report.count("commits", len(graph))
    if lost := ungrounded(graph):
        names = [task.key for task in lost]
        report.found(Kind.LINEAGE, "commits", f"lead round in a circle: {listed(names)}")


def ungrounded(graph: dict[Task, tuple[Task, ...] | None]) -> list[Task]:
    """The tasks that do not lead to one that reads sources; those of unknown inputs do, here."""
    waits = {task: len(set(inputs)) for task, inputs in graph.items() if inputs}
    readers: dict[Task, list[Task]] = {}
    for task, inputs in graph.items():
        for one in set(inputs or ()):
            readers.setdefault(one, []).append(task)
    ready = [task for task, inputs in graph.items() if not inputs]
    while ready:
        for reader in readers.get(ready.pop(), ()):
            waits[reader] -= 1
            if not waits[reader]:
                del waits[reader]
                ready.append(reader)
    return sorted(waits, key=lambda task: task.key)


def _batches(material: Material) -> Iterator[list[Row]]:
    for digest in material.tables:
        table = material.rows(digest)
        for first in range(0, table.num_rows, _BATCH):
            yield table.slice(first, _BATCH).to_pylist()


def _add(
    graph: dict[Task, tuple[Task, ...] | None], links: list[_Link], report: LevelReport
) -> None:
    for task, inputs, wrong in links:
        for kind, what in wrong:
            report.found(kind, task.key, what)
        graph[task] = inputs


def _unseen(graph: dict[Task, tuple[Task, ...] | None], tasks: list[Task]) -> list[Task]:
    """What these tasks read and nobody has looked at, each once."""
    read = {one: None for task in tasks for one in graph[task] or () if one not in graph}
    return list(read)


def _of_rows(commits: Commits, tokenizer: str, rows: list[Row]) -> list[_Link]:
    found: list[_Link] = []
    for row in rows:
        task = Task(row["step"], row["key"], row["sha256"])
        wrong: list[tuple[Kind, str]] = []
        inputs: tuple[Task, ...] | None = None
        try:
            if task_name(row["step"], row["slice_index"]) != row["key"]:
                raise Bad(Kind.LINEAGE, "the shard row's key is not that of its step and slice")
            commit = read_commit(commits, task)
            inputs = tuple(inputs_of(commit))
            if names := wrong_row(row, commit, tokenizer):
                what = f"the shard row says otherwise: {', '.join(names)}"
                wrong.append((Kind.LINEAGE, what))
        except Bad as bad:
            wrong.append((bad.kind, bad.what))
        found.append((task, inputs, wrong))
    return found


def _of_tasks(commits: Commits, tasks: list[Task]) -> list[_Link]:
    found: list[_Link] = []
    for task in tasks:
        try:
            found.append((task, tuple(inputs_of(read_commit(commits, task))), []))
        except Bad as bad:
            found.append((task, None, [(bad.kind, bad.what)]))
    return found
