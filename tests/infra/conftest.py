"""A simulated teacher for all tests that ask one."""

from collections.abc import Iterator

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher


@pytest.fixture(scope="module")
def shared() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher(Settings(slots=32)) as teacher:
        yield teacher


@pytest.fixture
def teacher(shared: SimulatedTeacher) -> Iterator[SimulatedTeacher]:
    shared.reset()
    yield shared
    shared.faults([])
    shared.rules([])
    shared.down(False)
