"""`make bench-teacher` in small: what it counts is what servers saw, also of killed programs."""

from dataclasses import replace

import pytest

from benchmarks.teacher.measure import stage
from benchmarks.teacher.scenarios import SCENARIOS, Scenario
from benchmarks.teacher.systems import SYSTEMS, System
from infra.teacher.idle import Reason
from pipelines.durable import UNFLUSHED


def scenario(letter: str, items: int) -> Scenario:
    (found,) = (scenario for scenario in SCENARIOS if scenario.letter == letter)
    return replace(found, items=items, kills=min(found.kills, 1))


def system(name: str) -> System:
    (found,) = (system for system in SYSTEMS if system.name == name)
    return found


def test_all_systems_ask_the_same_and_our_idle_slots_add_up() -> None:
    with stage(replace(scenario("D64", 12), in_flight=12), 1.0) as there:
        for name in ("raw", "ours"):
            run = there.run(system(name), "", seed=0)
            assert (run.asked_again, run.lost, run.twice, run.refused) == (0, 0, 0, 0)
    assert set(run.idle) == {"busy", "wire", *(reason.value for reason in Reason)}
    assert sum(run.idle.values()) == pytest.approx(100.0)
    assert run.idle["wire"] >= -1.0


def test_a_killed_worker_is_started_again_and_repeats_no_more_than_promised() -> None:
    crash = scenario("C", 200)
    with stage(crash, 1.0) as there:
        run = there.run(system("ours"), "", seed=0)
    assert run.kills == 1
    assert (run.lost, run.twice, run.refused) == (0, 0, 0)
    assert run.asked_again <= crash.in_flight + UNFLUSHED
