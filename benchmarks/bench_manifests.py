"""What versioning a mixture costs, by the number of its shards; against a JSON list and DVC.

Each operation is the real command in a process of its own, start-up included, byte code cached as
an installation has it. The data are those of `benchmarks.manifest_corpus`. The JSON list
(`benchmarks.json_listing`) and DVC version files only: they know no mixture and no order. DVC
hashes what it versions, while our shards' digests were taken when they were committed; its files
are of 64 bytes, so that what is seen is its cost a file.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import CORES, Cost, Spread, cpu_seconds, introduce, measured, options, table
from manifests.order import PhaseOrder
from manifests.resolve.types import Body, Phase, Segment, Supply
from manifests.spec.types import Layout

Costs = dict[str, list[Cost]]

REF = "phi4-pretrain"
SUPPLIES = 50
BATCH = 5760
SAMPLES = 416_667 * BATCH
"""2.4 * 10^9: 10T tokens in windows of 4,096 [R]."""
LOOKUPS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a root's manifests, and the list beside them, are on disk."""

    objects: int
    """Of the first manifest."""
    new: tuple[str, ...]
    """Endings of those that one changed shard added, sorted."""
    bytes: int
    """Of all."""
    listed: int
    """Bytes of the list."""


def mixtures(
    folder: Path, shards: int, runs: int, environment: Mapping[str, str]
) -> tuple[Costs, Written]:
    """Every operation on a root of so many shards."""
    root = folder / f"shards-{shards}"
    python = [sys.executable, "-m"]
    corpus = [*python, "benchmarks.manifest_corpus", str(root)]
    measured([*corpus, "--shards", str(shards), "--files"])
    before = [(path, path.read_bytes()) for path in root.glob("steps/web_*/*/index.parquet")]
    measured([*corpus, "--change"])
    after = [(path, path.read_bytes()) for path, _ in before]
    spec, lists = str(root / "mixture.toml"), [str(folder / name) for name in ("old", "new")]
    listing = [*python, "benchmarks.json_listing"]
    found: Costs = {}

    def manifest(name: str, *arguments: str, good: tuple[int, ...] = (0,)) -> None:
        command = [*python, "manifests", *arguments, "--root", str(root)]
        add(name, measured(command, environment=environment, good=good))

    def listed(name: str, *arguments: str) -> None:
        add(f"JSON list: {name}", measured([*listing, *arguments], environment=environment))

    def add(name: str, cost: Cost) -> None:
        found.setdefault(name, []).append(cost)

    objects: list[dict[str, int]] = []
    for _ in range(runs):
        _write(before)
        shutil.rmtree(root / "manifests", ignore_errors=True)
        manifest("build", "build", spec)
        manifest("build again, nothing changed", "build", spec)
        manifest("show", "show", REF)
        manifest("verify, L0", "verify", REF, "--level", "L0")
        manifest("verify, L0 and L1", "verify", REF, "--level", "L1")
        listed("build", "build", str(root), lists[0])
        listed("load", "load", lists[0])
        listed("verify sizes", "verify", str(root), lists[0])
        objects = [_objects(root)]
        _write(after)
        manifest("build, one shard changed", "build", spec)
        manifest("diff, one shard changed", "diff", f"{REF}@1", f"{REF}@2", good=(1,))
        objects.append(_objects(root))
        listed("build, one changed", "build", str(root), lists[1])
        listed("diff, one changed", "diff", *lists)
    shutil.rmtree(root)
    first, second = objects
    written = Written(
        objects=len(first),
        new=tuple(sorted(name.rpartition(".")[2] for name in second.keys() - first.keys())),
        bytes=sum(second.values()),
        listed=os.path.getsize(lists[0]),
    )
    return found, written


def _write(files: list[tuple[Path, bytes]]) -> None:
    for path, data in files:
        path.write_bytes(data)


def _objects(root: Path) -> dict[str, int]:
    """Their sizes, by name."""
    paths = (root / "manifests/objects").rglob("*.*")
    return {path.name: path.stat().st_size for path in paths}


def show_mixtures(shards: int, found: Costs, written: Written) -> None:
    print(f"\n{shards:,} shards, median of {len(found['build'])}")
    table(
        ["operation", "seconds", "CPU s", "peak MB"],
        [
            [
                name,
                Spread(tuple(cost.seconds for cost in costs)).shown(),
                Spread(tuple(cost.cpu for cost in costs)).shown(),
                Spread(tuple(cost.megabytes for cost in costs)).shown(0),
            ]
            for name, costs in found.items()
        ],
    )
    print(
        f"objects of the first build: {written.objects}; new for one changed shard:"
        f" {len(written.new)} ({', '.join(written.new)}); all together"
        f" {written.bytes / 1e6:.1f} MB, the JSON list {written.listed / 1e6:.1f} MB"
    )


def versioned_by_dvc(
    folder: Path, dvc: str, count: int, environment: Mapping[str, str]
) -> dict[str, Cost]:
    """DVC's own way: a folder of files is added, looked at, changed, compared and added again."""
    repository = folder / f"dvc-{count}"
    (repository / "data").mkdir(parents=True)
    for number in range(count):
        (repository / f"data/{number:08d}.parquet").write_bytes(f"{number:064d}".encode())
    homes = ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
    own = {**environment, "DVC_NO_ANALYTICS": "1", **{n: str(folder / "dvc-home") for n in homes}}

    def run(*command: str) -> Cost:
        return measured(command, folder=repository, environment=own)

    run("git", "init", "-q")
    run("git", "config", "user.email", "bench@example.org")
    run("git", "config", "user.name", "bench")
    run(dvc, "init", "-q")
    found = {"build": run(dvc, "add", "-q", "data")}
    found["show"] = run(dvc, "status")
    run("git", "add", ".dvc", ".gitignore", "data.dvc")
    run("git", "commit", "-q", "-m", "one")
    (repository / "data/00000007.parquet").write_bytes(b"other")
    found["diff, one shard changed"] = run(dvc, "diff")
    found["build, one shard changed"] = run(dvc, "add", "-q", "data")
    shutil.rmtree(repository)
    return found


DVC_NAMES = {
    "build": "dvc add",
    "show": "dvc status, nothing changed",
    "diff, one shard changed": "dvc diff",
    "build, one shard changed": "dvc add, one changed",
}
"""DVC's operation beside each of ours; `status` stands beside the check of sizes."""
OURS = {"show": "verify, L0 and L1"}


def show_dvc(count: int, ours: Costs, theirs: dict[str, Cost]) -> None:
    rows = []
    for name, cost in theirs.items():
        own = OURS.get(name, name)
        spread = Spread(tuple(c.seconds for c in ours[own]))
        memory = Spread(tuple(c.megabytes for c in ours[own])).middle
        rows.append(
            [
                DVC_NAMES[name],
                f"{cost.seconds:.2f}",
                f"{cost.megabytes:.0f}",
                own,
                f"{spread.middle:.2f}",
                f"{memory:.0f}",
                f"{cost.seconds / spread.middle:.1f}",
            ]
        )
    print(f"\nDVC on {count:,} files, one run each, and ours on as many shards")
    table(["DVC", "seconds", "peak MB", "ours", "seconds", "peak MB", "DVC / ours"], rows)


def show_listing(found: Mapping[int, Costs]) -> None:
    pairs = {
        "build": "build",
        "load": "show",
        "verify sizes": "verify, L0 and L1",
        "diff, one changed": "diff, one shard changed",
    }
    rows = []
    for shards, costs in found.items():
        for theirs, ours in pairs.items():
            seconds = [
                Spread(tuple(cost.seconds for cost in costs[name])).middle
                for name in (f"JSON list: {theirs}", ours)
            ]
            rows.append([f"{shards:,}", theirs, ours, f"{seconds[1] / seconds[0]:.2f}"])
    print("\nours against the JSON list, times as long")
    table(["shards", "JSON list", "ours", "ours / list"], rows)


def order(runs: int) -> None:
    """Lookups in the order of a phase and in its inverse, on one core."""
    os.sched_setaffinity(0, {CORES[-1]})
    chance = np.random.default_rng(1)
    weights = chance.dirichlet(np.ones(SUPPLIES))
    quotas = np.maximum(1, (weights * SAMPLES).astype(np.int64))
    quotas[0] += SAMPLES - int(quotas.sum())
    epochs = chance.uniform(1, 14, SUPPLIES)
    supplies = tuple(
        Supply(
            leaf=f"leaf-{number:02d}",
            quota=int(quota),
            body=Body(table="", layout=Layout.STREAM, samples=int(quota / passes) + 1, tokens=1),
            cursor=0,
        )
        for number, (quota, passes) in enumerate(zip(quotas, epochs, strict=True))
    )
    segment = Segment(start=0, stop=SAMPLES, first_step=0, global_batch=BATCH, supplies=supplies)
    phase = Phase(name="pretrain", after="", sequence_length=4096, segments=(segment,))
    start = time.perf_counter()
    made = PhaseOrder(phase, 1234, _no_holes)
    opened = time.perf_counter() - start
    positions = chance.integers(0, SAMPLES, LOOKUPS)
    samples = [
        chance.integers(0, supply.body.samples, LOOKUPS // SUPPLIES // int(passes))
        for supply, passes in zip(supplies, np.ceil(epochs), strict=True)
    ]
    forward, back, one = [], [], []
    count = 0
    for _ in range(runs):
        forward.append(LOOKUPS / _timed(lambda: made.places(positions)))
        start = cpu_seconds()
        count = sum(
            len(made.occurrences(0, number, False, some)[1]) for number, some in enumerate(samples)
        )
        back.append(count / (cpu_seconds() - start))
        one.append(_timed(lambda: [made.places(positions[i : i + 1]) for i in range(1000)]))
    asked = sum(map(len, samples))
    print(
        f"\nthe order of {SAMPLES:,} samples of {SUPPLIES} supplies, 1 to 14 epochs each, on one"
        f" core; opened in {1e3 * opened:.1f} ms; median of {runs}"
    )
    table(
        ["lookup", "10^6 a CPU second", "what"],
        [
            ["position -> sample", _millions(forward), f"{LOOKUPS:,} random positions a call"],
            [
                "sample -> positions",
                _millions(back),
                f"{count:,} positions found of {asked:,} samples, {SUPPLIES} calls",
            ],
            [
                "one position -> sample",
                f"{Spread(tuple(one)).shown()} ms",
                "1,000 calls of one each",
            ],
        ],
    )
    os.sched_setaffinity(0, CORES)


def _no_holes(digest: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    raise KeyError(digest)


def _millions(rates: list[float]) -> str:
    return Spread(tuple(rate / 1e6 for rate in rates)).shown()


def _timed(work: Callable[[], object]) -> float:
    """CPU seconds: the rate of a core whatever else the machine does."""
    start = cpu_seconds()
    work()
    return cpu_seconds() - start


def _environment(folder: Path) -> dict[str, str]:
    """Byte code is kept, as an installation keeps it."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "byte-code")}


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--shards", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dvc", default=None, help="its program; else what is on PATH")
    parser.add_argument(
        "--dvc-files", type=int, nargs="*", default=[10_000, 100_000], help="also among --shards"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where to write; default: TMPDIR")
    given = parser.parse_args()
    introduce("Manifests", ["pyarrow", "numpy"])
    found: dict[int, Costs] = {}
    with tempfile.TemporaryDirectory(prefix="bench-manifests-", dir=given.folder) as name:
        folder = Path(name)
        environment = _environment(folder)
        mixtures(folder, 1000, 1, environment)  # not shown: it makes the byte code
        for shards in given.shards:
            found[shards], written = mixtures(folder, shards, given.runs, environment)
            show_mixtures(shards, found[shards], written)
        show_listing(found)
        if dvc := given.dvc or shutil.which("dvc"):
            said = subprocess.run([dvc, "--version"], capture_output=True, text=True, check=True)
            print(f"\nDVC {said.stdout.strip()}")
            for count in (n for n in given.dvc_files if n in found):
                theirs = versioned_by_dvc(folder, dvc, count, environment)
                show_dvc(count, found[count], theirs)
        else:
            print("\nDVC is not compared: no `dvc` on PATH, and no --dvc PROGRAM given")
    order(given.runs)


if __name__ == "__main__":
    main()
