"""`python -m benchmarks.soak`: run for as long as told under faults and kills, then report."""

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.soak.nodes import Nodes
from benchmarks.soak.report import Figures, lines
from benchmarks.soak.teachers import Teacher
from benchmarks.soak.trouble import WEIGHTS, Trouble
from benchmarks.soak.watching import Recovery, Taken
from benchmarks.soak.work import IN_FLIGHT, Round, write_documents
from infra.simulated.settings import Settings
from pipelines.durable import UNFLUSHED

DISK_MEGABYTES = 1024
LOOK_SECONDS = 0.5


def main() -> int:
    """Soak; 0 if the verifier found nothing."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="soak-") as home, _disk(Path(home)) as disk:
        soak = Soak(Path(home), disk, given)
        try:
            soak.run()
        finally:
            soak.close()
    command = f"make soak MINUTES={given.minutes:g}"
    machine = f"{psutil.cpu_count()} cores, {platform.system()}"
    text = "\n".join(lines(soak.figures, f"{datetime.now(UTC):%d %B %Y}", machine, command)) + "\n"
    if given.report:
        Path(given.report).write_text(text)
    print(text)
    return 1 if soak.figures.findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between blows, about")
    parser.add_argument("--documents", type=int, default=600, help="of a run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--blows",
        nargs="+",
        choices=sorted(WEIGHTS),
        default=(),
        metavar="BLOW",
        help=f"in this order instead of at random: {', '.join(WEIGHTS)}",
    )
    parser.add_argument("--report", help="where the report is written to as well")
    return parser.parse_args()


@contextmanager
def _disk(home: Path) -> Iterator[Path | None]:
    """A small file system, where one may be mounted (it takes root)."""
    disk = home / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=False)


class Soak:
    """Rounds under trouble, until the time is over and the last round is complete."""

    def __init__(self, home: Path, disk: Path | None, given: argparse.Namespace) -> None:
        self._home, self._disk, self._given = home, disk, given
        self._nodes = Nodes(home)
        speed = Settings(slots=16, mean_tokens=100, seconds_per_token=0.02)
        self._teachers = [Teacher(speed), Teacher(speed)]
        self._recovery, self._taken = Recovery(), Taken()
        self.figures = Figures(seed=given.seed, bound=IN_FLIGHT + UNFLUSHED)

    def run(self) -> None:
        """All rounds."""
        for teacher in self._teachers:
            teacher.start()
        self._nodes.start()
        trouble = Trouble(
            nodes=self._nodes,
            teachers=self._teachers,
            disk=self._disk,
            every=self._given.every,
            seed=self._given.seed,
            order=self._given.blows,
        )
        began = time.monotonic()
        while time.monotonic() - began < 60 * self._given.minutes:
            self._round(trouble)
            self.figures.hours = (time.monotonic() - began) / 3600
        self.figures.blows, self.figures.term_seconds = trouble.blows, trouble.term_seconds
        self.figures.recovery, self.figures.most = self._recovery.seconds, self._taken.most
        self.figures.growth = self._taken.growth

    def close(self) -> None:
        """End every process."""
        self._nodes.stop()
        for teacher in self._teachers:
            teacher.stop()

    def _round(self, trouble: Trouble) -> None:
        number = self.figures.rounds
        folder = self._home / "documents" / str(number)
        write_documents(folder, 1000 * self._given.seed + number, self._given.documents)
        current = Round(
            number=number,
            documents=folder,
            root=str((self._disk or self._home) / f"root{number}"),
            teachers=[teacher.server.url for teacher in self._teachers],
            environment=self._nodes.environment,
            log=self._home / "driver.log",
        )
        before = self._asked()
        current.start_driver()
        while not current.look():
            self._look(current, trouble)
            time.sleep(LOOK_SECONDS)
        trouble.calm()
        self._count(current, before)
        shutil.rmtree(current.root)

    def _look(self, current: Round, trouble: Trouble) -> None:
        requests = self._asked()[0]
        self._recovery.look(requests)
        if blow := trouble.look(current):
            self._recovery.struck(blow, requests)
            print(f"{datetime.now(UTC):%H:%M:%S} {blow}; {requests} requests", file=sys.stderr)
        self._taken.look("worker", self._nodes.workers())
        if current.driver is not None and current.driver.poll() is None:
            self._taken.look("driver", [psutil.Process(current.driver.pid)])

    def _asked(self) -> tuple[int, int]:
        counts = [teacher.look() for teacher in self._teachers]
        requests, failed = (sum(count[name] for count in counts) for name in ("requests", "failed"))
        return requests, failed

    def _count(self, current: Round, before: tuple[int, int]) -> None:
        f = self.figures
        requests, failed = (now - then for now, then in zip(self._asked(), before, strict=True))
        found = current.verify()
        f.findings = [*f.findings, *(f"run {current.number}: {line}" for line in found)]
        f.rounds, f.drivers = f.rounds + 1, f.drivers + current.drivers
        f.calls, f.records = f.calls + current.calls, f.records + current.records
        f.requests, f.failed = f.requests + requests, f.failed + failed
        print(
            f"{datetime.now(UTC):%H:%M:%S} run {current.number} whole: {current.records} records,"
            f" {requests} requests, {failed} failed, {current.calls} calls in shards,"
            f" {len(found)} findings",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
