"""A simulated teacher for all tests that ask one, and proof that no pool leaks a slot."""

from collections.abc import Iterator

import pytest

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.pool import TeacherPool
from tests.infra.leaks import leaks


@pytest.fixture(autouse=True)
def every_lease_comes_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However a test ends its pools, no lease is held and nobody waits in any of them."""
    pools: list[TeacherPool] = []
    enter = TeacherPool.__aenter__

    async def remember(pool: TeacherPool) -> TeacherPool:
        pools.append(pool)
        return await enter(pool)

    monkeypatch.setattr(TeacherPool, "__aenter__", remember)
    yield
    assert [leak for pool in pools for leak in leaks(pool)] == []


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
