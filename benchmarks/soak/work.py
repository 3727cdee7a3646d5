"""The rounds of a soak: one run after another, each over documents of its own, driven to its end.

A driver that dies is started again with the same command, which is all that a user would do.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.nodes import REPOSITORY

IN_FLIGHT = 64
WORKERS = 2
FILES = 12
THINGS = ("harbour", "orchard", "foundry", "archive", "meadow", "quarry", "mill", "chapel", "ferry")


def write_documents(folder: Path, number: int, documents: int) -> None:
    """JSONL files whose every document is about something else."""
    draw = random.Random(number)
    folder.mkdir(parents=True)
    for file in range(FILES):
        count = documents // FILES
        lines = [json.dumps({"text": _prose(draw)}) for _ in range(count)]
        (folder / f"{file:02}.jsonl").write_text("\n".join(lines) + "\n")


def _prose(draw: random.Random) -> str:
    one, other = draw.choice(THINGS), draw.choice(THINGS)
    where, year = f"Saint {draw.randrange(10**9):x}".title(), draw.randrange(1500, 1900)
    return "\n\n".join(
        f"The {one} of {where} was measured in {year + part}. Its keepers wrote that"
        f" {draw.randrange(20, 400)} carts a day passed the {other}, because the old road was"
        f" flooded {draw.randrange(2, 9)} times, and therefore every cart paid"
        f" {draw.randrange(3, 40)} pence. When the {one} was closed for repair, trade moved to the"
        f" {other}, so prices there rose by {draw.randrange(5, 60)} percent within one season,"
        f" and the council decided to build gate number {part + 1}."
        for part in range(4)
    )


@dataclass(slots=True, kw_only=True)
class Round:
    """One run of the soak."""

    number: int
    documents: Path
    root: str
    teachers: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    drivers: int = 0
    driver: "subprocess.Popen[str] | None" = None
    status: dict[str, Any] = field(default_factory=dict)

    def start_driver(self) -> None:
        """Give the run's command (again)."""
        given = [part for url in self.teachers for part in ("--teacher", url)]
        self.driver = subprocess.Popen(
            [
                *(sys.executable, "-m", "pipelines", "run", "synthesize"),
                *(f"prose={self.documents}", "prose_format=jsonl", "slice_bytes=40000"),
                "prose_curator=seeds_quick@1",
                "generators=rewrite_quick@1,revise_quick@1",
                *("--root", self.root, "--in-flight", str(IN_FLIGHT), "--workers", str(WORKERS)),
                *("--json", *given),
            ],
            cwd=REPOSITORY,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
        )
        self.drivers += 1

    def kill_driver(self) -> bool:
        """SIGKILL."""
        if self.driver is None or self.driver.poll() is not None:
            return False
        self.driver.kill()
        self.driver.wait()
        return True

    def stop_driver(self) -> float | None:
        """SIGTERM; the seconds until it was gone."""
        if self.driver is None or self.driver.poll() is not None:
            return None
        asked = time.monotonic()
        self.driver.send_signal(signal.SIGTERM)
        self.driver.wait(60)
        return time.monotonic() - asked

    def look(self) -> bool:
        """Whether the run is complete; a driver that ended otherwise is started again."""
        assert self.driver is not None
        code = self.driver.poll()
        if code is None:
            return False
        out = self.driver.stdout.read() if self.driver.stdout else ""
        if code == 0:
            self.status = json.loads(out)
            return bool(self.status["complete"])
        self.start_driver()
        return False

    def verify(self) -> list[str]:
        """What the independent verifier finds, in every step down to the documents."""
        findings: list[str] = []
        for step in (s["address"] for s in self.status["steps"] if s["kind"] == "Screen"):
            command = [sys.executable, "-m", "manifests", "step", "verify", step, "--inputs"]
            done = subprocess.run(
                [*command, "--complete", "--root", self.root],
                cwd=REPOSITORY,
                env=dict(self.environment),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                findings += (done.stdout + done.stderr).strip().splitlines()
        return findings

    @property
    def calls(self) -> int:
        """Calls whose answers are in committed shards."""
        return sum(step["calls"] for step in self.status["steps"])

    @property
    def records(self) -> int:
        """Records that passed the gates."""
        return int(self.status["records"])
