"""The reserve of a disk: nothing is begun when it is reached, and it is given back by itself."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from manifests.store import DiskRoom
from manifests.stores.local import LocalStore
from manifests.stores.memory import MemoryStore
from pipelines import room
from pipelines.room import RESERVE_BYTES, Room, lacks_room


class Disk(LocalStore):
    """A local store on a disk of which we say how full it is."""

    said = DiskRoom(total=10**9, free=10**9)

    def room(self) -> DiskRoom:
        return self.said


@pytest.mark.parametrize(
    ("total", "free", "lacks"),
    [
        (10**9, 51 * 10**6, False),
        (10**9, 49 * 10**6, True),
        (10**13, RESERVE_BYTES, False),
        (10**13, RESERVE_BYTES - 1, True),
    ],
)
def test_the_reserve_is_a_twentieth_of_the_disk_and_2_gib_at_most(
    tmp_path: Path, total: int, free: int, lacks: bool
) -> None:
    disk = Disk(tmp_path)
    disk.said = DiskRoom(total=total, free=free)
    assert lacks_room(disk) is lacks


def test_a_real_disk_says_what_it_has_and_a_bucket_has_no_end(tmp_path: Path) -> None:
    found = LocalStore(tmp_path / "not" / "there").room()
    assert found is not None
    assert 0 < found.free <= found.total
    assert not lacks_room(MemoryStore("room"))


def test_calls_wait_until_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.01)

    async def go() -> None:
        disk = Disk(tmp_path)
        disk.said = dataclasses.replace(disk.said, free=0)
        found = Room(disk)
        while not found.lacking:
            await asyncio.sleep(0.005)
        waiting = asyncio.create_task(found.wait())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        disk.said = dataclasses.replace(disk.said, free=10**9)
        await asyncio.wait_for(waiting, 5)
        assert not found.lacking
        await found.close()

    asyncio.run(go())
