"""Other systems at what `benchmarks.bench_trainer` measures of ours, on the same tokens.

Every figure is taken in a process of its own, without worker processes, after the imports. For the
times to a first batch the phase has more samples than the corpus: files are named again, and how is
said by each program; what it costs to list and order them is real. Tokens a second are of the
corpus itself, in the page cache. `--peers` is a Python that has mosaicml-streaming and litdata.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Spread, introduce, options, table

LENGTHS = {4096: 8, 16384: 2}
"""Windows, and samples of a batch."""
Found = dict[str, Any]


def run(python: str, module: str, *arguments: object) -> list[Found]:
    """What a program told, a report a line."""
    command = [python, "-m", f"benchmarks.{module}", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: {ended.stderr.strip()[-2000:]}")
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def one(python: str, module: str, *arguments: object) -> Found:
    """The last report of a program."""
    return run(python, module, *arguments)[-1]


def starts(peers: Sequence[tuple[str, str]], folder: Path, counts: list[int], runs: int) -> None:
    """To the first batch, and to that at half of the samples."""
    rows = []
    for samples in counts:
        for python, module in peers:
            data = folder / f"{module}-{samples}"
            name = f"trainer_peers.{module}"
            run(python, name, "prepare", folder / "corpus", data, "--samples", samples)
            measure = (python, name, "measure", data, "--samples", samples, "--case")
            kinds = {"first": [one(*measure, "first") for _ in range(runs + 1)]}
            if module == "megatron":
                kinds = {"first, cold": kinds["first"][:1], "first, warm": kinds["first"][1:]}
            kinds["at half"] = [one(*measure, "resume") for _ in range(runs)]
            rows += [_start(kind, found) for kind, found in kinds.items()]
    head = ["system", "samples", "batch", "s", "peak above base, MB", "index, MB"]
    table(head, rows)
    print("\nA batch is 8 windows of 4,096. Cold: Megatron builds its index; warm: it is there.")


def _start(kind: str, found: list[Found]) -> list[str]:
    field = "resume_s" if kind == "at half" else "first_batch_s"
    return [
        found[0]["system"],
        f"{found[0]['samples']:,}",
        kind,
        Spread(tuple(report[field] for report in found)).shown(3),
        Spread(tuple(report["peak_bytes"] / 1e6 for report in found)).shown(0),
        f"{found[-1]['index_bytes'] / 1e6:,.1f}",
    ]


def speeds(peers: Sequence[tuple[str, str]], folder: Path, runs: int, seconds: float) -> None:
    """Batches one after another."""
    rows = []
    for length, batch in LENGTHS.items():
        for python, module in peers:
            data, name = folder / f"{module}-{length}", f"trainer_peers.{module}"
            run(python, name, "prepare", folder / "corpus", data, "--length", length)
            given = ["--length", length, "--batch", batch, "--seconds", seconds]
            measure = (python, name, "measure", data, "--case", "deliver", *given)
            cases: dict[str, Callable[[], Found]] = {"none": lambda m=measure: one(*m)}
            if module == "megatron":
                cases["document"] = lambda m=measure: one(*m, "--masks")
            for mask, measured in cases.items():
                system = measured()["system"]  # and indexes are made
                rates = [measured()["tokens_per_s"] / 1e6 for _ in range(runs)]
                rows.append([system, f"{length:,}", mask, Spread(tuple(rates)).shown(3)])
    print()
    table(["system", "window", "mask", "Mtok/s"], rows)
    print(
        "\nBatches of 32,768 tokens. Megatron's document mask is reset_attention_mask, a dense"
        "\nmatrix a sample; the other two give tokens alone and know no documents."
    )


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--most", type=int, default=7, help="samples up to 10 to the power of this")
    parser.add_argument("--seconds", type=float, default=5, help="of each figure of speed")
    parser.add_argument("--peers", help="a Python with mosaicml-streaming and litdata")
    given = parser.parse_args()
    introduce("Feeding a trainer: other systems", ["megatron-core", "torch"])
    peers = [(sys.executable, "megatron")]
    if given.peers:
        peers += [(given.peers, "mosaic"), (given.peers, "lightning")]
        versions = [
            f"{name} {_version(given.peers, name)}" for name in ("mosaicml-streaming", "litdata")
        ]
        print(f"and {', '.join(versions)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "trainer_ours", "make", folder / "root", "--samples", 10_000)
        run(sys.executable, "trainer_peers.corpus", folder / "root", folder / "corpus")
        starts(peers, folder, [10**power for power in range(6, given.most + 1)], given.runs)
        speeds(peers, folder, given.runs, given.seconds)


def _version(python: str, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.strip()


if __name__ == "__main__":
    main()
