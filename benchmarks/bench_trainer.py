"""What it takes to feed a trainer, ours and other systems: start, resume, memory, tokens a second.

Every figure is taken in a process of its own, without worker processes, on one thread, after the
imports, on the tokens of one real file of 256 MiB; systems take turns. For the starts a phase has
more samples than that: how files are named again is said by each program (`benchmarks.trainer_ours`
and `benchmarks.trainer_peers`); what it costs to list, order and blend so many is real, the disk
behind them is not. `--peers` is a Python that has mosaicml-streaming and litdata.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Spread, introduce, options, table
from benchmarks.trainer_systems import OURS, Found, System, peers, run, versions

PEERS_MOST = 7
"""Samples, as a power of 10, up to which the others are asked: they take minutes beyond."""
LENGTHS = {4096: 8, 16384: 2}
"""Windows, and samples of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """How a system started on so many samples, run by run."""

    label: str
    first: list[Found]
    half: list[Found]

    def of(self, field: str, unit: float, *, half: bool = False) -> Spread | None:
        """A figure of all runs; None where there were none."""
        found = self.half if half else self.first
        return Spread(tuple(one[field] / unit for one in found)) if found else None


def times(theirs: Spread | None, ours: Spread | None) -> str:
    """How many times ours theirs is."""
    if theirs is None or ours is None or not ours.middle:
        return ""
    found = theirs.middle / ours.middle
    return f"{found:,.0f}" if found >= 10 else f"{found:.1f}" if found >= 0.1 else f"{found:.3f}"


def starts(systems: Sequence[System], folder: Path, powers: range, runs: int) -> None:
    """To the first batch of a phase, and to that at half of it."""
    rows = []
    for power in powers:
        asked = [one for one in systems if one is OURS or power <= PEERS_MOST]
        data = {one: one.prepare(folder, length=4096, samples=10**power) for one in asked}
        found = started(data, runs)
        ours = next(one for one in found if one.label.startswith("scriptorium, warm"))
        rows += [_row(one, ours) for one in found]
        for place in data.values():
            shutil.rmtree(place)
    columns = ("first batch, ms", "at half, ms", "peak above base, MB", "index, MB")
    table(["samples", "system", *(name for one in columns for name in (one, "/ ours"))], rows)
    print(
        "\nA batch is 8 windows of 4,096. / ours: so many times as long, or as much, as ours takes"
        "\nwarm; above 1 is in our favour. Cold: the first time on a machine, when Megatron makes"
        "\nits index, and ours hashes the token file and makes the index of its documents; warm:"
        "\nthese are there. The index is what lies on disk beside the tokens; ours comes to this"
        "\nwhen every shard has been opened, and each makes its part then."
    )


def started(data: Mapping[System, Path], runs: int) -> list[Started]:
    """Every system cold and warm; the first run of those that keep nothing is not shown."""
    cold = {one: one.measure(place, "first") for one, place in data.items()}
    first: dict[System, list[Found]] = {one: [] for one in data}
    half: dict[System, list[Found]] = {one: [] for one in data}
    for _ in range(runs):
        for one, place in data.items():
            first[one].append(one.measure(place, "first"))
            half[one].append(one.measure(place, "resume"))
    found = []
    for one in data:
        name = cold[one]["system"]
        if one.keeps:
            found.append(Started(label=f"{name}, cold", first=[cold[one]], half=[]))
        label = f"{name}, warm" if one.keeps else name
        found.append(Started(label=label, first=first[one], half=half[one]))
    return found


def _row(one: Started, ours: Started) -> list[str]:
    figures = (
        ("seconds", 1e-3, False, 0),
        ("seconds", 1e-3, True, 0),
        ("peak_bytes", 1e6, False, 0),
        ("index_bytes", 1e6, False, 1),
    )
    cells = []
    for field, unit, half, digits in figures:
        theirs, of_ours = one.of(field, unit, half=half), ours.of(field, unit, half=half)
        if theirs and field == "index_bytes":
            theirs = Spread(theirs.runs[-1:])
        cells += [theirs.shown(digits) if theirs else "", times(theirs, of_ours)]
    return [f"{one.first[0]['samples']:,}", one.label, *cells]


def speeds(systems: Sequence[System], folder: Path, runs: int, seconds: float) -> None:
    """Batches one after another."""
    rows = []
    for length, batch in LENGTHS.items():
        data = {one: one.prepare(folder, length=length) for one in systems}
        # A run before makes what is kept.
        names = {one: one.measure(place, "first")["system"] for one, place in data.items()}
        for mask in ("none", "document"):
            flags = ["--batch", batch, "--seconds", seconds, *(["--masks"] * (mask == "document"))]
            asked = {one: data[one] for one in systems if one.masks or mask == "none"}
            found = delivered(asked, runs, flags)
            rows += [
                [f"{length:,}", mask, names[one], rate.shown(3), times(found[OURS], rate)]
                for one, rate in found.items()
            ]
    print()
    table(["window", "mask", "system", "Mtok/s", "ours / it"], rows)
    print(
        "\nBatches of 32,768 tokens, after a warm-up. Ours and Megatron give tokens, labels, loss"
        "\nmask and positions; ours cu_seqlens too, which with a document mask say where documents"
        "\nend, Megatron then (reset_attention_mask) a dense matrix a sample. The others give"
        "\ntokens alone and know no documents."
    )


def delivered(
    data: Mapping[System, Path], runs: int, flags: Sequence[object]
) -> dict[System, Spread]:
    """10^6 tokens a second."""
    rates: dict[System, list[float]] = {one: [] for one in data}
    for _ in range(runs):
        for one, place in data.items():
            rates[one].append(one.measure(place, "deliver", *flags)["tokens_per_s"] / 1e6)
    return {one: Spread(tuple(found)) for one, found in rates.items()}


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--most", type=int, default=9, help="samples up to 10 to the power of this")
    parser.add_argument("--seconds", type=float, default=5, help="of each figure of speed")
    parser.add_argument("--peers", help="a Python with mosaicml-streaming and litdata")
    given = parser.parse_args()
    introduce("Feeding a trainer", ["numpy", "pyarrow", "megatron-core", "torch"])
    if given.peers:
        print(f"and {', '.join(versions(given.peers))}")
    else:
        print("without mosaicml-streaming and litdata: no --peers")
    systems = [OURS, *peers(given.peers)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TMPDIR"] = name  # litdata leaves chunks there
        OURS.prepare(folder, length=4096, samples=10_000)
        run(sys.executable, "trainer_peers.corpus", folder / "root", folder / "corpus")
        starts(systems, folder, range(6, given.most + 1), given.runs)
        speeds(systems, folder, given.runs, given.seconds)


if __name__ == "__main__":
    main()
