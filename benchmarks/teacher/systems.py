"""The systems: which program, on which interpreter, for which scenarios."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.teacher.scenarios import Scenario

PEERS = Path(__file__).parent / "peers"
ENVIRONMENT = (
    'python3.11 -m venv PEERS && PEERS/bin/pip install aiohttp uvloop "ray[data]==2.60.0" '
    '"datatrove==0.10.1" httpx orjson aiofiles aiosqlite xxhash data-designer'
)
"""What brings all peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One program."""

    name: str
    title: str
    script: str = ""
    """Of a peer; ours has none."""
    arguments: Sequence[str] = ()
    imports: str = ""
    """What has to be there."""
    keeps: bool = False
    """Whether its checkpoint is on."""
    letters: str = "ABCDEF"
    """Scenarios that it can do."""

    def takes_part(self, scenario: Scenario) -> bool:
        return scenario.letter[0] in self.letters

    def command(self, python: str, job: Path) -> list[str]:
        if not self.script:
            return [sys.executable, "-m", "benchmarks.teacher.ours", str(job)]
        runner = sys.executable if self.name.startswith("raw") else python
        return [runner, str(PEERS / self.script), str(job), *self.arguments]

    def missing(self, python: str) -> bool:
        """Whether its packages are not there."""
        if not self.imports:
            return False
        asked = [python, "-c", f"import {self.imports}"]
        return subprocess.run(asked, capture_output=True).returncode != 0


SYSTEMS: Sequence[System] = (
    System(
        name="raw",
        title="raw aiohttp, keeps nothing",
        script="peer_raw.py",
        letters="ABDEF",
    ),
    System(
        name="raw-sticky",
        title="raw aiohttp, a passage a replica",
        script="peer_raw.py",
        arguments=("sticky",),
        letters="F",
    ),
    System(name="ours", title="ours, all durable"),
    System(
        name="datatrove",
        title="datatrove, no checkpoint",
        script="peer_datatrove.py",
        imports="datatrove, httpx, aiosqlite, aiofiles, xxhash, orjson",
        letters="ABDEF",
    ),
    System(
        name="datatrove-kept",
        title="datatrove, checkpoint",
        script="peer_datatrove.py",
        imports="datatrove, httpx, aiosqlite, aiofiles, xxhash, orjson",
        keeps=True,
    ),
    System(
        name="ray",
        title="Ray Data, async class",
        script="peer_ray.py",
        imports="ray.data, aiohttp, pyarrow, pandas",
        keeps=True,
        letters="ABCE",
    ),
    System(
        name="designer",
        title="NVIDIA Data Designer",
        script="peer_designer.py",
        imports="data_designer.interface",
        keeps=True,
        letters="ABCE",
    ),
)
