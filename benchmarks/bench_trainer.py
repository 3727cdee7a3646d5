"""What it takes to feed a trainer: from the start to the first batch, memory, tokens a second.

By the number of samples of a phase, up to 10^9: what a loader does that keeps an order, or an index
of samples, grows with them. Every figure is taken in a process of its own. Token files are one real
file that all shards stand for (`benchmarks.trainer_ours`), so nothing is said of disks.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Spread, introduce, options, table

LENGTHS = (4096, 16384)
SPEED_SAMPLES = 10**6
BATCHES = (1, 8)


def ours(root: Path, what: str, **flags: object) -> dict[str, Any]:
    """One figure, or nothing of `make`."""
    given = [f"--{name}={value}" for name, value in flags.items()]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.trainer_ours", what, str(root), *given],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout or "{}")
    return found


def starts(root: Path, counts: list[int], runs: int) -> None:
    """The first batch of a phase, and that at half of it."""
    rows = []
    for samples in counts:
        ours(root, "make", samples=samples)
        first = ours(root, "start", samples=samples, cache=f"cold{samples}")
        found = [ours(root, "start", samples=samples) for _ in range(runs + 1)][1:]
        half = [ours(root, "start", samples=samples, at=0.5) for _ in range(runs)]
        rows.append(
            [
                f"{samples:,}",
                f"{first['shards']:,}",
                f"{first['seconds']:.2f}",
                Spread(tuple(1e3 * one["seconds"] for one in found)).shown(0),
                Spread(tuple(1e3 * one["cpu"] for one in found)).shown(0),
                Spread(tuple(1e3 * one["seconds"] for one in half)).shown(0),
                Spread(tuple(one["megabytes"] for one in found)).shown(0),
            ]
        )
    head = ["samples", "shards", "first time, s", "first batch, ms", "of it CPU, ms"]
    table([*head, "at 50 %, ms", "peak above base, MB"], rows)
    print(
        "\nA batch is 8 samples of 4,096. The first time a machine opens a shard it hashes the"
        "\ntoken file and makes the index of its documents; here a file of 256 MiB with 66,000."
    )


def speeds(root: Path, runs: int, seconds: float) -> None:
    """Batches one after another, whole ones with all their fields."""
    rows = []
    for length in LENGTHS:
        ours(root, "make", samples=SPEED_SAMPLES, length=length)
        for mask in ("causal", "document"):
            for batch in BATCHES:
                flags = {"samples": SPEED_SAMPLES, "length": length, "mask": mask, "batch": batch}
                found = [ours(root, "speed", **flags, seconds=seconds) for _ in range(runs)]
                rows.append(
                    [
                        f"{length:,}",
                        mask,
                        str(batch),
                        Spread(tuple(one["tokens"] / 1e6 for one in found)).shown(0),
                        Spread(tuple(one["tokens_a_core"] / 1e6 for one in found)).shown(0),
                    ]
                )
    print()
    table(["window", "mask", "batch", "Mtok/s", "Mtok a second of CPU"], rows)
    print("\nOne process, no workers: tokens, labels, loss mask, positions, cu_seqlens.")


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--most", type=int, default=9, help="samples up to 10 to the power of this")
    parser.add_argument("--seconds", type=float, default=10, help="of each figure of speed")
    given = parser.parse_args()
    introduce("Feeding a trainer", ["numpy", "pyarrow"])
    with tempfile.TemporaryDirectory() as folder:
        starts(Path(folder), [10**power for power in range(6, given.most + 1)], given.runs)
        speeds(Path(folder), given.runs, given.seconds)


if __name__ == "__main__":
    main()
