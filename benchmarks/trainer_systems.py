"""The systems that `benchmarks.bench_trainer` compares, each a program in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Found = dict[str, Any]


def run(python: str, module: str, *arguments: object) -> list[Found]:
    """What a program of this folder told, a report a line."""
    command = [python, "-m", f"benchmarks.{module}", *map(str, arguments)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: {ended.stderr.strip()[-2000:]}")
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A program with the commands `prepare` and `measure`, as `benchmarks.trainer_peers` says."""

    module: str
    python: str = sys.executable
    corpus: str = "corpus"
    """What it reads, in the folder of the run."""
    keeps: bool = False
    """Whether what it makes at its first start is there at later ones."""
    masks: bool = False
    """Whether it keeps documents apart."""

    def prepare(self, folder: Path, *, length: int, samples: int = 0) -> Path:
        """Its data for these windows; 0: as many samples as there are."""
        data = folder / f"{self.module.rpartition('.')[2]}-{length}-{samples}"
        given = [folder / self.corpus, data, "--length", length, "--samples", samples]
        run(self.python, self.module, "prepare", *given)
        return data

    def measure(self, data: Path, case: str, *flags: object) -> Found:
        """One report; `case` is first, resume or deliver."""
        _, length, samples = data.name.rsplit("-", 2)
        given = [data, "--length", length, "--samples", samples, "--case", case, *flags]
        return run(self.python, self.module, "measure", *given)[-1]


OURS = System(module="trainer_ours", corpus="root", keeps=True, masks=True)
MEGATRON = System(module="trainer_peers.megatron", keeps=True, masks=True)
PACKAGES = {"mosaic": "mosaicml-streaming", "lightning": "litdata"}
"""Of the peers that need a Python of their own."""


def peers(python: str | None) -> list[System]:
    """The other systems; only one where there is no such Python."""
    found = [MEGATRON]
    if python:
        found += [System(module=f"trainer_peers.{name}", python=python) for name in PACKAGES]
    return found


def versions(python: str) -> list[str]:
    """The packages of that Python that are compared, with their versions."""
    code = (
        "from importlib.metadata import version; "
        f"print(*(f'{{name}} {{version(name)}}' for name in {list(PACKAGES.values())}), sep='\\n')"
    )
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split("\n")[:-1]
