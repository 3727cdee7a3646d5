"""One run of one system on one scenario, measured at the servers and by what it says of itself.

Time is from the first arrival to the last reply, as the servers saw them, so that nobody's start-up
is counted. A kill is SIGKILL to a system's whole process tree.
"""

import asyncio
import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from benchmarks.harness import CORES
from benchmarks.teacher import ours
from benchmarks.teacher.chains import learn
from benchmarks.teacher.scenarios import Scenario
from benchmarks.teacher.systems import System
from infra.simulated.prefix import PrefixCache
from infra.simulated.settings import BLOCK_TOKENS
from infra.simulated.start import SimulatedTeacher
from infra.teacher.resolve import resolve

SLICES = 8
_ROOT = Path(__file__).resolve().parents[2]
_MARK = "SCRIPTORIUM_BENCHMARK"
"""In the environment of a system's processes, all of them: how they are known again."""
_SUBREAPER = 36
"""prctl's PR_SET_CHILD_SUBREAPER: what a killed system leaves behind becomes our child."""


class Failed(Exception):
    """A system did not come to its end; the last thing it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of one system came to."""

    seconds: float
    of_ideal: float
    """Percent: all service seconds over all slots, of `seconds`."""
    cpu_ms: float
    """Of the client, a call of the plan."""
    asked_again: int
    lost: int
    twice: int
    refused: int
    kills: int
    hits: float
    """Percent of the prefix tokens that could have been served from the cache."""
    idle: Mapping[str, float] = field(default_factory=dict)
    """Ours: percent of the slot-seconds, by reason."""


class Stage:
    """The servers of a scenario, and what is asked of them."""

    def __init__(
        self, scenario: Scenario, scale: float, teachers: Sequence[SimulatedTeacher], home: Path
    ) -> None:
        self.scenario, self.teachers, self.home = scenario, teachers, home
        self.items = max(SLICES, round(scenario.items * scale))
        self.kills = round(scenario.kills * scale) or bool(scenario.kills)
        # Small tasks would leave less than `in_flight` passages in those that are open.
        self._slices = max(ours.OPEN_TASKS, min(SLICES, 2 * self.items // scenario.in_flight))
        self._scale = scale
        (self.endpoint, *_) = asyncio.run(resolve([teachers[0].url], None))
        self._chains = home / "chains.jsonl"
        self.calls, prompts = learn(scenario, self.items, self.endpoint, self._chains)
        self._ideal_hits = ideal_hits(prompts)
        self._pin()

    def _pin(self) -> None:
        if len(CORES) > 1:
            for teacher in self.teachers:
                os.sched_setaffinity(teacher.pid, {CORES[0]})

    def run(self, system: System, python: str, seed: int) -> Run:
        """The system from nothing to its end.

        Raises:
            Failed: It did not get there.
        """
        job = self._job(system)
        for teacher in self.teachers:
            teacher.reset()
            teacher.faults(self._faults())
        command = system.command(python, job)
        kills = self._kill_now_and_then(command, Random(seed))
        said = self._to_its_end(command)
        return self._figures(said, kills)

    def _faults(self) -> list[dict[str, Any]]:
        times = ("after_seconds", "for_seconds")
        return [
            {key: value * self._scale if key in times else value for key, value in fault.items()}
            for fault in self.scenario.faults
        ]

    def _job(self, system: System) -> Path:
        folder, scenario = self.home / "work", self.scenario
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if not system.script:
            ours.write_input(folder, self.items, scenario.words, self._slices)
        job = {
            "urls": [teacher.url for teacher in self.teachers],
            "model": self.endpoint.served_name,
            "in_flight": scenario.in_flight,
            "width": scenario.width,
            "folder": str(folder),
            "chains": str(self._chains),
            "keep": system.keeps,
            "retry": bool(scenario.faults),
            "method": scenario.method.name,
            "slices": self._slices,
            "slots": scenario.teacher.slots,
            "time_scale": scenario.teacher.time_scale,
        }
        path = self.home / "job.json"
        path.write_text(json.dumps(job))
        return path

    def _kill_now_and_then(self, command: Sequence[str], random: Random) -> int:
        """Start and kill it, each time when so many more different questions have come."""
        marks = sorted(random.sample(range(1, self.calls), self.kills)) if self.kills else []
        kills = 0
        for mark in marks:
            with self._started(command) as process:
                while process.poll() is None and self._asked() < mark:
                    time.sleep(0.01)
                kills += process.poll() is None
        return kills

    def _asked(self) -> int:
        return sum(int(teacher.stats()["unique_prompts"]) for teacher in self.teachers)

    def _to_its_end(self, command: Sequence[str]) -> dict[str, Any]:
        most = 300.0 + 30.0 * self._ideal_seconds()
        with self._started(command) as process:
            try:
                out, _ = process.communicate(timeout=most)
            except subprocess.TimeoutExpired as error:
                raise Failed(f"not done after {most:.0f} s") from error
        lines = out.strip().splitlines()
        if not lines or not lines[-1].startswith("{"):
            raise Failed(self._last_words() or f"exit status {process.returncode}")
        said: dict[str, Any] = json.loads(lines[-1])
        return said

    def _ideal_seconds(self) -> float:
        settings = self.scenario.teacher
        service = settings.mean_tokens * settings.seconds_per_token * settings.time_scale
        return self.calls * service / self.scenario.slots

    def _last_words(self) -> str:
        said = (self.home / "errors").read_text(errors="replace").strip().splitlines()
        return said[-1][:200] if said else ""

    @contextmanager
    def _started(self, command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
        """On a core of its own; nothing of it is left afterwards."""
        with (self.home / "errors").open("w") as errors:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=_ROOT,
                env={**os.environ, _MARK: str(self.home)},
                preexec_fn=lambda: os.sched_setaffinity(0, {CORES[-1]}),
            )
        try:
            yield process
        finally:
            end_marked(str(self.home))
            process.wait()

    def _figures(self, said: Mapping[str, Any], kills: int) -> Run:
        stats = [teacher.stats() for teacher in self.teachers]
        different = sum(one["unique_prompts"] for one in stats)
        canary = bool(said.get("canaries"))  # a question of its own, always the same
        if not self.calls <= different <= self.calls + canary:
            raise Failed(f"asked {different} different questions, of {self.calls}")
        first = min(one["first_arrival"] for one in stats)
        seconds = max(one["last_reply"] for one in stats) - first
        slots = sum(one["slots"] for one in stats)
        service = sum(one["service_seconds"] for one in stats)
        failed = sum(sum(one["errors"].values()) - one["errors"].get("slow", 0) for one in stats)
        asked = sum(one["requests"] for one in stats) - failed
        refused = said.get("refused", 0)
        return Run(
            seconds=seconds,
            of_ideal=100 * service / slots / seconds,
            cpu_ms=1000 * said["cpu_seconds"] / self.calls,
            asked_again=asked - self.calls,
            lost=self.items - said["done"] - refused,
            twice=said["twice"],
            refused=refused,
            kills=kills,
            hits=100 * sum(one["prefix_hits"] for one in stats) / max(1, self._ideal_hits),
            idle=self._idle(said, kills, sum(one["busy_slot_seconds"] for one in stats)),
        )

    def _idle(self, said: Mapping[str, Any], kills: int, busy: float) -> dict[str, float]:
        """Nothing after kills: the dead told nobody."""
        return idle_shares(said["idle"], busy) if "idle" in said and not kills else {}


def idle_shares(idle: Mapping[str, Any], busy: float) -> dict[str, float]:
    """Percent of the slot-seconds: busy, each reason, and calls of ours that were in no slot."""
    whole = idle["slot_seconds"] or 1.0
    shares = {"busy": busy, **idle["idle_seconds"], "wire": idle["asked_seconds"] - busy}
    return {reason: 100 * seconds / whole for reason, seconds in shares.items()}


def ideal_hits(prompts: Sequence[str]) -> int:
    """Prompt tokens that one replica with all the room in the world would not compute."""
    cache = PrefixCache(sum(len(prompt) for prompt in prompts) // BLOCK_TOKENS + 1)
    return sum(cache.admit(prompt) for prompt in prompts)


def end_marked(mark: str) -> None:
    """SIGKILL every process below this one that was started with this mark, orphans too."""
    while True:
        below = psutil.Process().children(recursive=True)
        marked = [process for process in below if _mark(process) == mark]
        for process in marked:
            process.kill()
        psutil.wait_procs(marked, timeout=5)
        if not marked:
            return


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(_MARK, "")
    except psutil.Error:  # it ended
        return ""


@contextmanager
def stage(scenario: Scenario, scale: float) -> Iterator[Stage]:
    """The scenario's servers, up, and its questions, learned."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SUBREAPER, 1, 0, 0, 0)
    teachers = [SimulatedTeacher(scenario.teacher) for _ in range(scenario.replicas)]
    with tempfile.TemporaryDirectory(prefix="bench-teacher-", ignore_cleanup_errors=True) as home:
        try:
            for teacher in teachers:
                teacher.__enter__()
            yield Stage(scenario, scale, teachers, Path(home))
        finally:
            for teacher in teachers:
                teacher.stop()
            prctl(_SUBREAPER, 0, 0, 0, 0)
