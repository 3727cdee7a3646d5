"""Writing, reading and verifying shards, against plain pyarrow on the same table.

Ours writes through `write_shard` (Parquet with page checksums, sha256, fsync of file and folder)
and reads through `read_shard` (sha256 of the whole, page checksums). The peer is `pq.write_table`
with the same compression and `pq.read_table`, neither checked nor fsynced. Then a step of small
commits is verified by `python -m manifests step verify`, and the command lines' start-up is timed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import CORES, Spread, introduce, options, table
from manifests import layout
from manifests.commits import publish, read_commit, task_id
from manifests.fingerprint import canonical_json, content_id
from manifests.records import Bucket, Call, Record, record_id
from manifests.shards import ROW_GROUP_ROWS, Shard, read_shard, write_shard
from manifests.store import Store, open_store
from manifests.tables import from_table, to_table
from pipelines.work.outcome import Outcome, commit_outcome

STEP = "steps/bench@1/" + "0" * 32
WORDS = "\n\n".join(text for _, text in sorted(topics.items())).split(" ")
ROW_WORDS = 300


def records(count: int, start: int = 0) -> list[Record]:
    """Records of some 300 words of real text, with the lineage of two calls."""
    return [_record(number) for number in range(start, start + count)]


def _record(number: int) -> Record:
    at = number * 97 % (len(WORDS) - ROW_WORDS)
    text = f"{number}: {' '.join(WORDS[at : at + ROW_WORDS])}"
    seed = content_id("seed", str(number))
    calls = tuple(
        Call(
            prompt=content_id("p", str(i), seed) * 2,
            completion=content_id("c", str(i), seed),
            teacher="org/model@0123456789ab",
            role="writer",
        )
        for i in range(2)
    )
    return Record(
        id=record_id("bench@1", seed, text),
        text=text,
        bucket=Bucket.SYNTHETIC,
        generator="bench@1",
        seed_ids=(seed,),
        source="web",
        licence="CC0-1.0",
        lang="en",
        scores={"copied_share": 0.25, "ratio": 1.5},
        tokens=len(text) // 4,
        lineage=calls,
    )


def as_table(rows: list[Record]) -> pa.Table:
    return to_table(rows, [row.seed_ids[0] for row in rows], Record)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def shards(folder: Path, count: int, runs: int) -> None:
    """A shard's way into the store and out of it, next to pyarrow's."""
    store, rows = open_store(str(folder / "root")), records(count)
    made = as_table(rows)
    plain, key_of = folder / "plain.parquet", partial(layout.data_file, STEP)
    shard = write_shard(store, key_of, made)
    megabytes = made.nbytes / 1e6
    outcome = Outcome(row_type="record", table=made, rejects=())
    slices = iter(range(runs + 1))
    write = partial(
        pq.write_table,
        made,
        plain,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=3,
    )
    works: dict[str, tuple[str, Callable[[], object]]] = {
        "pyarrow write_table": ("", write),
        "write_shard": ("pyarrow write_table", partial(write_shard, store, key_of, made)),
        "commit_outcome (stats, shards, commit)": (
            "pyarrow write_table",
            lambda: commit_outcome(store, STEP, next(slices), outcome),
        ),
        "pyarrow read_table": ("", partial(pq.read_table, plain)),
        "read_shard": ("pyarrow read_table", partial(_read, store, shard)),
        "to_table (rows to columns)": ("", partial(as_table, rows)),
        "from_table (columns to rows)": ("", partial(from_table, Record, made)),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(runs + 1):
        for name, (_, work) in works.items():
            seconds = timed(work)
            if turn:  # the first turn warms up
                found[name].append(seconds)
    print(f"\na shard of {count} records, {megabytes:.1f} MB in memory, ", end="")
    print(f"{shard.bytes / 1e6:.1f} MB as Parquet; median of {runs}, the first turn not counted")
    lines = []
    for name, (peer, _) in works.items():
        spread = Spread(tuple(1000 * seconds for seconds in found[name]))
        base = Spread(tuple(1000 * seconds for seconds in found[peer])).middle if peer else 0
        lines.append(
            [
                name,
                spread.shown(1),
                f"{1000 * count / spread.middle:,.0f}",
                f"{1000 * megabytes / spread.middle:.0f}",
                f"{spread.middle / base:.2f} x {peer}" if peer else "",
            ]
        )
    table(["operation", "ms", "rows/s", "MB/s in memory", "time against peer"], lines)


def _read(store: Store, shard: Shard) -> pa.Table:
    return read_shard(store, layout.data_file(STEP, shard.sha256), shard)


def verify(folder: Path, commits: int, rows: int, runs: int) -> None:
    """The proof of a step of many small commits, as a command."""
    root = folder / "many"
    store = open_store(str(root))
    store.put(layout.step_file(STEP), canonical_json({"address": STEP, "slices": commits}))
    for number in range(commits):
        outcome = Outcome(
            row_type="record", table=as_table(records(rows, number * rows)), rejects=()
        )
        commit_outcome(store, STEP, number, outcome)
    first = read_commit(store, STEP, task_id(STEP, 0))
    assert first is not None
    assert publish(store, first) == first
    files = [path for path in root.rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    data = sorted((root / STEP / "data").iterdir())
    command = ["step", "verify", STEP.removeprefix("steps/"), "--root", str(root), "--complete"]
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(timed(lambda: _python("-m", "manifests", *command)))
        theirs.append(timed(lambda: [pq.read_table(path) for path in data]))
    spread, base = Spread(tuple(ours)), Spread(tuple(theirs)).middle
    print(
        f"\n{commits} commits of {rows} rows, {len(files)} files, {megabytes:.0f} MB on disk, ",
        end="",
    )
    print(f"median of {runs}")
    table(
        ["operation", "seconds", "commits/s", "MB/s on disk", "time against peer"],
        [
            ["pyarrow reads the data shards", f"{base:.2f}", f"{commits / base:.0f}", "", ""],
            [
                "python -m manifests step verify",
                spread.shown(),
                f"{commits / spread.middle:.0f}",
                f"{megabytes / spread.middle:.0f}",
                f"{spread.middle / base:.2f} x pyarrow read (start-up included)",
            ],
        ],
    )


def starts(runs: int) -> None:
    """How long a person waits for help."""
    named = {
        "python -c pass": ("-c", "pass"),
        "python -c 'import pyarrow'": ("-c", "import pyarrow"),
        "python -m manifests --help": ("-m", "manifests", "--help"),
        "python -m pipelines --help": ("-m", "pipelines", "--help"),
        "python -m infra.teacher --help": ("-m", "infra.teacher", "--help"),
        "python -m infra.simulated --help": ("-m", "infra.simulated", "--help"),
    }
    found: dict[str, list[float]] = {name: [] for name in named}
    for _ in range(runs):
        for name, arguments in named.items():
            found[name].append(1000 * timed(partial(_python, *arguments)))
    print(f"\nstart-up, median of {runs}")
    base = Spread(tuple(found["python -c pass"])).middle
    table(
        ["command", "ms", "above a bare interpreter, ms"],
        [
            [name, Spread(tuple(ms)).shown(0), f"{Spread(tuple(ms)).middle - base:.0f}"]
            for name, ms in found.items()
        ],
    )


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=int, default=20_000, help="records of the one shard")
    parser.add_argument("--commits", type=int, default=200, help="commits to verify")
    parser.add_argument("--commit-rows", type=int, default=200, help="records of each of them")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; default: TMPDIR")
    given = parser.parse_args()
    introduce("Shards", ["pyarrow", "numpy"])
    os.sched_setaffinity(0, CORES)
    with tempfile.TemporaryDirectory(prefix="bench-shards-", dir=given.folder) as name:
        folder = Path(name)
        shards(folder, given.rows, given.runs)
        verify(folder, given.commits, given.commit_rows, given.runs)
    starts(given.runs)


if __name__ == "__main__":
    main()
