"""Proof from the files alone that a step lost nothing, doubled nothing and was not changed.

This reads the formats a second time, on purpose: it shares no code with what wrote the files (of
this project it imports only errors), so that a bug there cannot hide itself here.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.id_keys import NO_KEYS, Keys, both, keys_of, listed, missing, repeated, shown, unique
from manifests.raw_files import RawFiles, read_parquet
from manifests.raw_token_files import (
    PLACE_TYPES,
    RawTokens,
    named_files,
    parse_token_file,
    wrong_places,
)
from manifests.verify_taken import Taken, taken, wrong_in_all, wrong_in_slice

WORKERS = 8
SHOWN = 3
"""Names in one finding; the rest is a number."""

Progress = Callable[[str, int, int], None]
"""Told the step, how many of its commits are read, and how many it has."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is not as it must be."""

    kind: str
    """`lost`, `twice`, `corrupt` or `ledger`."""
    where: str
    what: str


@dataclass(slots=True)
class Report:
    """What was found in one step; the numbers are the sums of the ledgers."""

    step: str
    slices: int | None
    """None when step.json does not say."""
    want: tuple[int, str] | None = None
    """Amount and unit at which it ends; None for a step that ends with its slices."""
    committed: int = 0
    planned: int = 0
    accepted: int = 0
    rejected: int = 0
    quarantined: int = 0
    rows: int = 0
    orphans: int = 0
    """Objects that no commit names: harmless, left by a task that was killed or came second."""
    inputs: list[str] = field(default_factory=list)
    """Addresses of the steps that its tasks read."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether as many slices have committed as were planned."""
        return self.committed == self.slices

    def lines(self) -> list[str]:
        """The findings, then a summary, for a person."""
        slices = "?" if self.slices is None else self.slices
        summary = (
            f"{self.step}: {'complete' if self.complete else 'partial'}, {self.committed} of"
            f" {slices} slices; {self.planned} planned = {self.accepted} accepted +"
            f" {self.rejected} rejected + {self.quarantined} quarantined; {self.rows} rows;"
            f" {self.orphans} orphans"
        )
        found = [f"{f.kind}: {self.step}: {f.where}: {f.what}" for f in self.findings]
        return [*found, summary]


@dataclass(slots=True)
class _Task:
    """A commit file, as far as it can be believed, and the ids of its rows."""

    name: str
    commit: dict[str, Any] | None = None
    slice_index: int | None = None
    taken: Taken | None = None
    """Of a step that takes."""
    ids: Keys = field(default_factory=lambda: NO_KEYS)
    findings: list[Finding] = field(default_factory=list)

    def found(self, kind: str, what: str) -> None:
        self.findings.append(Finding(kind, f"task {self.name}", what))


class Verifier:
    """Proves steps below a root."""

    def __init__(self, files: RawFiles) -> None:
        self._files = files

    def verify_all(
        self, step: str, *, complete: bool, progress: Progress | None = None
    ) -> Iterator[Report]:
        """The step's report, then those of the steps it read, and so on."""
        waiting: dict[str, int | None] = {step: None}
        done: set[str] = set()
        while waiting:
            address, needed = waiting.popitem()
            done.add(address)
            report = self.verify(address, complete=complete, progress=progress, needed=needed)
            yield report
            # Of what an amount is taken from, only the slices that were read have to be there.
            if report.want is not None:
                needed = report.committed
            waiting |= dict.fromkeys((i for i in report.inputs if i not in done), needed)

    def verify(
        self,
        step: str,
        *,
        complete: bool,
        progress: Progress | None = None,
        needed: int | None = None,
    ) -> Report:
        """Everything that can be found in the step at this address.

        With `complete`, slices that have not committed are findings: the first `needed`, or all.
        """
        want = self._files.want(step)
        report = Report(step=step, slices=self._files.slices(step), want=want)
        if report.slices is None and not want:
            report.findings.append(Finding("corrupt", "step.json", "says no number of slices"))
        names = sorted(self._files.names(f"{step}/commits"))
        tasks = []
        with ThreadPoolExecutor(WORKERS) as workers:
            for task in workers.map(lambda name: self._check_commit(step, name, want), names):
                tasks.append(task)
                if progress:
                    progress(step, len(tasks), len(names))
        _sum_up(report, tasks)
        report.findings += _slices_twice_or_missing(report, tasks, complete, needed)
        report.findings += _amount_missed(report, tasks, complete)
        report.findings += _rows_twice(tasks)
        report.findings += self._inputs_twice_or_unread(report, tasks)
        report.orphans = self._orphans(step, tasks)
        report.findings.sort()
        return report

    def _check_commit(self, step: str, file: str, want: tuple[int, str] | None) -> _Task:
        task = _Task(file.removesuffix(".json"))
        commit = self._files.commit(f"{step}/commits/{file}")
        if commit is None:
            task.found("corrupt", "not a commit")
            return task
        task.slice_index = commit["slice_index"]
        named = _task_id(step, commit["slice_index"])
        if file != f"{named}.json" or (commit["step"], commit["task"]) != (step, named):
            of = f"task {commit['task']}, slice {commit['slice_index']} of {commit['step']}"
            task.found("corrupt", f"the file's name does not fit its content, {of}")
            return task
        task.commit = commit
        tokenized = commit["row_type"] == "tokendocument"
        places = PLACE_TYPES if tokenized else ["tokens"] if want else []
        data = self._columns(task, f"{step}/data", commit["data"], ["item_id", "id", *places])
        self._check_tokens(task, commit, data if tokenized else None)
        rejects = self._columns(task, f"{step}/rejects", commit["rejects"], ["item_id", "reason"])
        if data is not None and rejects is not None:
            task.ids = keys_of(data["id"])
            planned = self._check_items(task, commit, data["item_id"], rejects)
            if want:
                task.taken = taken(commit["slice_index"], data, rejects.num_rows, want[1])
                reasons = rejects["reason"].to_pylist()
                for wrong in wrong_in_slice(planned, keys_of(data["item_id"]), reasons):
                    task.found("ledger", wrong)
        return task

    def _check_tokens(self, task: _Task, commit: dict[str, Any], rows: pa.Table | None) -> None:
        """Do the rows of a task that tokenized lie in its token files as they say?"""
        files: dict[str, RawTokens] = {}
        for shard in commit["tokens"]:
            key = f"{commit['step']}/tokens/{shard['sha256']}.parquet"
            if (data := self._bytes(task, key, shard)) is None:
                continue
            try:
                file = files[shard["sha256"]] = parse_token_file(data)
            except ValueError as error:
                task.found("corrupt", f"{key}: {error}")
                continue
            if (count := -(-len(file.ids) // 4096)) != shard["rows"]:
                task.found("ledger", f"{key}: {count} rows, committed {shard['rows']}")
            if file.tokenizer != (counted := commit["stats"].get("tokenizer")):
                task.found("ledger", f"{key}: ids of {file.tokenizer}, committed {counted}")
        committed = {shard["sha256"] for shard in commit["tokens"]}
        named = set() if rows is None else set(named_files(rows))
        if unread := sorted(committed - named):
            task.found("corrupt", f"token files of no row: {listed(unread, SHOWN)}")
        if unknown := sorted(named - committed):
            task.found("corrupt", f"token files not committed: {listed(unknown, SHOWN)}")
        for wrong in wrong_places(rows, files) if rows is not None else ():
            task.found("corrupt", wrong)

    def _check_items(
        self, task: _Task, commit: dict[str, Any], data: pa.ChunkedArray, rejects: pa.Table
    ) -> Keys:
        """Do the rows bear out the ledger, and the inputs the items? The rows of its inputs."""
        ledger, refused = commit["ledger"], keys_of(rejects["item_id"])
        accepted = unique(keys_of(data))
        reasons = Counter(rejects["reason"].to_pylist())
        counted = {
            "accepted": len(accepted),
            "quarantined": reasons.pop("poison", 0),
            "rejected": dict(sorted(reasons.items())),
            "rows": len(data),
        }
        counted["planned"] = len(accepted) + len(refused)
        for name, count in counted.items():
            if ledger[name] != count:
                task.found("ledger", f"{name}: {ledger[name]} committed, {count} in the rows")
        gone = sum(ledger["rejected"].values()) + ledger["quarantined"]
        if ledger["planned"] != ledger["accepted"] + gone:
            task.found("ledger", "planned is not accepted + rejected + quarantined")
        if len(again := repeated(refused)):
            task.found("twice", f"refused more than once: {shown(again, SHOWN)}")
        if len(again := both(accepted, refused)):
            task.found("twice", f"both accepted and refused: {shown(again, SHOWN)}")
        if not commit["inputs"]:
            return NO_KEYS
        return self._check_inputs(task, commit["inputs"], np.concatenate([accepted, refused]))

    def _check_inputs(self, task: _Task, inputs: list[dict[str, Any]], items: Keys) -> Keys:
        """Is every row of the shards that the task read one of its items, and the reverse?"""
        wanted = []
        for shard in inputs:
            committed = self._files.commit(f"{shard['step']}/commits/{shard['task']}.json")
            if committed is None:
                task.found("lost", f"it read task {shard['task']} of {shard['step']}: no commit")
            elif committed["data"]["sha256"] != shard["sha256"]:
                task.found("corrupt", f"it read other bytes than task {shard['task']} committed")
            table = self._columns(task, f"{shard['step']}/data", shard, ["id"])
            if table is None:
                return NO_KEYS
            wanted.append(keys_of(table["id"]))
        planned = np.concatenate(wanted)
        if len(lost := missing(planned, items)):
            task.found("lost", f"neither accepted nor refused: {shown(lost, SHOWN)}")
        if len(extra := missing(items, planned)):
            task.found("ledger", f"items that its inputs do not have: {shown(extra, SHOWN)}")
        return planned

    def _columns(
        self, task: _Task, folder: str, shard: dict[str, Any], names: list[str]
    ) -> pa.Table | None:
        """Some columns of a shard; every page is read, and must be what was committed."""
        key = f"{folder}/{shard['sha256']}.parquet"
        if (data := self._bytes(task, key, shard)) is None:
            return None
        try:
            table = read_parquet(data, names)
        except (pa.ArrowException, OSError, LookupError, ValueError) as error:
            task.found("corrupt", f"{key}: {(str(error) or repr(error)).splitlines()[0]}")
            return None
        if table.num_rows != shard["rows"]:
            task.found("ledger", f"{key}: {table.num_rows} rows, committed {shard['rows']}")
        return table

    def _bytes(self, task: _Task, key: str, shard: dict[str, Any]) -> bytes | None:
        """The bytes of an object if they are what was committed."""
        data = self._files.get(key)
        if data is None:
            task.found("lost", f"no object {key}")
        elif len(data) != shard.get("bytes", len(data)):
            task.found("corrupt", f"{key} has {len(data)} bytes, committed {shard['bytes']}")
        elif hashlib.sha256(data).hexdigest() != shard["sha256"]:
            task.found("corrupt", f"the bytes of {key} are not those of its sha256")
        else:
            return data
        return None

    def _inputs_twice_or_unread(self, report: Report, tasks: Sequence[_Task]) -> list[Finding]:
        shards = (shard for task in tasks if task.commit for shard in task.commit["inputs"])
        reads = Counter((shard["step"], shard["task"]) for shard in shards)
        findings = [
            Finding("twice", f"input {step}", f"task {task} was read by {times} tasks")
            for (step, task), times in reads.items()
            if times > 1
        ]
        report.inputs = sorted({step for step, _ in reads})
        for step in report.inputs if report.complete else ():
            names = {name.removesuffix(".json") for name in self._files.names(f"{step}/commits")}
            if report.want:  # what the slices behind gave is for whoever asks for more
                names &= {_task_id(step, number) for number in range(report.committed)}
            if unread := sorted(name for name in names if (step, name) not in reads):
                findings.append(
                    Finding("lost", f"input {step}", f"not read: {listed(unread, SHOWN)}")
                )
        return findings

    def _orphans(self, step: str, tasks: Sequence[_Task]) -> int:
        count = 0
        for part in ("data", "rejects"):
            named = {f"{task.commit[part]['sha256']}.parquet" for task in tasks if task.commit}
            count += len(set(self._files.names(f"{step}/{part}")) - named)
        tokens = (shard for task in tasks if task.commit for shard in task.commit["tokens"])
        named = {f"{shard['sha256']}.parquet" for shard in tokens}
        return count + len(set(self._files.names(f"{step}/tokens")) - named)


def _task_id(step: str, slice_index: int) -> str:
    parts = [part.encode() for part in ("task", step, str(slice_index))]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(framed).hexdigest()[:32]


def _sum_up(report: Report, tasks: Iterable[_Task]) -> None:
    for task in tasks:
        report.findings += task.findings
        if task.commit:
            ledger = task.commit["ledger"]
            report.committed += 1
            report.planned += ledger["planned"]
            report.accepted += ledger["accepted"]
            report.rejected += sum(ledger["rejected"].values())
            report.quarantined += ledger["quarantined"]
            report.rows += ledger["rows"]


def _slices_twice_or_missing(
    report: Report, tasks: Sequence[_Task], complete: bool, needed: int | None
) -> list[Finding]:
    seen = Counter(task.slice_index for task in tasks if task.slice_index is not None)
    findings = [
        Finding("twice", f"slice {slice_index}", f"{times} commit files claim it")
        for slice_index, times in seen.items()
        if times > 1
    ]
    if report.slices is not None:
        if beyond := sorted(i for i in seen if i >= report.slices):
            what = f"not planned, of {report.slices}: {listed(beyond, SHOWN)}"
            findings.append(Finding("ledger", "slices", what))
        good = {task.slice_index for task in tasks if task.commit}
        wanted = report.slices if needed is None else needed
        missing = [i for i in range(wanted) if i not in good]
        if complete and missing:
            what = f"not committed, of {wanted}: {listed(missing, SHOWN)}"
            findings.append(Finding("lost", "slices", what))
    return findings


def _amount_missed(report: Report, tasks: Sequence[_Task], complete: bool) -> list[Finding]:
    """How a step that takes has not taken just what it was asked for."""
    if report.want is None:
        return []
    amount, unit = report.want
    slices = [task.taken for task in tasks if task.taken]
    findings = [Finding("ledger", "amount", w) for w in wrong_in_all(slices, amount, unit)]
    have = sum(one.amount for one in slices)
    if have < amount and (complete or report.slices is not None):
        findings.append(Finding("lost", "amount", f"{have} of {amount} {unit}"))
    return findings


def _rows_twice(tasks: Sequence[_Task]) -> list[Finding]:
    if not tasks:
        return []
    findings = []
    again = repeated(np.concatenate([task.ids for task in tasks]))
    for key in again[:SHOWN]:
        owners = [task.name for task in tasks if (task.ids == key).all(axis=1).any()]
        what = f"the id of several rows; tasks: {listed(owners, SHOWN)}"
        findings.append(Finding("twice", f"row {shown(key[None], 1)}", what))
    if len(again) > SHOWN:
        findings.append(Finding("twice", "rows", f"{len(again) - SHOWN} more ids of several rows"))
    return findings
