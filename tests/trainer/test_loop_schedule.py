"""Learning rates by step, and how facts of a phase become them."""

import math
from dataclasses import fields

import pytest

from manifests.errors import ConfigError
from manifests.resolve.types import Phase
from manifests.spec.facts import TRAIN
from trainer.loop.schedule import Decay, Schedule
from trainer.loop.settings import Settings


def rates(decay: Decay, **kwargs: float) -> list[float]:
    schedule = Schedule(decay=decay, peak=1.0, steps=20, warmup=4, **kwargs)  # type: ignore[arg-type]
    return [schedule.at(step) for step in range(20)]


def phase(**train: str | int | float | bool) -> Phase:
    return Phase(name="pretrain", after="", sequence_length=8, segments=(), train=train)


@pytest.mark.parametrize("decay", list(Decay))
def test_the_warm_up_is_linear_and_its_first_step_learns(decay: Decay) -> None:
    assert rates(decay)[:4] == [0.25, 0.5, 0.75, 1.0]


def test_linear_falls_evenly_and_its_last_step_learns() -> None:
    found = rates(Decay.LINEAR)[4:]
    assert found == pytest.approx([1 - k / 16 for k in range(16)])


def test_cosine_is_half_way_down_in_the_middle_and_ends_near_its_minimum() -> None:
    found = rates(Decay.COSINE, minimum=0.2)[4:]
    assert found[0] == 1.0
    assert found[8] == pytest.approx(0.6)
    assert found[-1] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * 15 / 16)) / 2)


def test_constant_stays() -> None:
    assert set(rates(Decay.CONSTANT)[4:]) == {1.0}


def test_wsd_is_stable_until_its_last_steps() -> None:
    found = rates(Decay.WSD, decay_steps=5)
    assert set(found[4:15]) == {1.0}
    assert found[15:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_wsd_decays_over_a_tenth_when_nothing_is_said() -> None:
    assert rates(Decay.WSD)[16:] == pytest.approx([1.0, 1.0, 1.0, 0.5])


def test_a_decay_that_is_over_stays_at_the_minimum() -> None:
    found = rates(Decay.LINEAR, decay_steps=8, minimum=0.1)
    assert found[12:] == pytest.approx([0.1] * 8)
    assert found[11] > 0.1


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"warmup": 21}, "warmup_steps 21 do not fit into a phase of 20 steps"),
        ({"warmup": 11, "decay_steps": 10}, "warmup_steps 11 and decay_steps 10 do not fit"),
        ({"minimum": 2.0}, "min_learning_rate 2 is above learning_rate 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(parts: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Schedule(decay=Decay.WSD, peak=1.0, steps=20, **parts)


def test_facts_of_a_phase_stand_over_the_defaults() -> None:
    found = Settings.of(
        phase(learning_rate=3e-4, schedule="wsd"), {"learning_rate": 1.0, "weight_decay": 0.3}
    )
    assert (found.learning_rate, found.schedule, found.weight_decay) == (3e-4, "wsd", 0.3)


def test_facts_that_nobody_knows_are_named() -> None:
    with pytest.raises(ConfigError, match=r"does not know the facts lr, warmup; it knows learning"):
        Settings.of(phase(lr=1.0, warmup=3), {})


def test_settings_have_the_names_that_a_spec_may_use() -> None:
    assert {field.name for field in fields(Settings)} <= {key.name for key in TRAIN}


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({}, "phase pretrain has no learning_rate: write it in"),
        ({"learning_rate": 1.0, "optimizer": "muon"}, "optimizer = 'muon' is not built here"),
    ],
)
def test_facts_that_cannot_be_trained_by_are_refused(train: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings.of(phase(**train), {})
