import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from manifests.completions import Completion, FinishReason, Usage
from manifests.errors import StoreFull
from manifests.segments import read_segments
from manifests.store import open_store
from manifests.stores.local import LocalStore
from pipelines import durable
from pipelines.durable import FLUSH_AT, UNFLUSHED, Journal, TaskCompletions

PREFIX = "steps/s@1/f/completions/t/"


def answer(text: str) -> Completion:
    return Completion(text=text, finish_reason=FinishReason.STOP, teacher="m@1", usage=Usage())


def asking(text: str, asked: list[str]) -> Callable[[], Awaitable[Completion]]:
    async def ask() -> Completion:
        asked.append(text)
        await asyncio.sleep(0)
        return answer(text)

    return ask


def test_an_answer_is_in_the_store_after_a_flush(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    async def go() -> None:
        journal = Journal(store)
        await journal.append(PREFIX, "k1", answer("one"))
        await journal.flush()
        assert read_segments(store, PREFIX) == {"k1": answer("one")}
        await journal.close()

    asyncio.run(go())


def test_an_answer_is_in_the_store_soon_without_a_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "FLUSH_SECONDS", 0.01)
    store = open_store(str(tmp_path))

    async def go() -> None:
        journal = Journal(store)
        await journal.append(PREFIX, "k1", answer("one"))
        while not read_segments(store, PREFIX):
            await asyncio.sleep(0.01)
        await journal.close()

    asyncio.run(asyncio.wait_for(go(), 30))


class SlowStore(LocalStore):
    """Every write waits until it is let through."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def put(self, key: str, data: bytes) -> None:
        asyncio.run_coroutine_threadsafe(self.gate.wait(), self.loop).result()
        super().put(key, data)


def test_no_more_answers_are_taken_than_a_crash_may_cost(tmp_path: Path) -> None:
    async def go() -> None:
        store = SlowStore(tmp_path)
        journal = Journal(store)
        taken: list[int] = []

        async def take(number: int) -> None:
            await journal.append(PREFIX, f"k{number}", answer(str(number)))
            taken.append(number)

        tasks = [asyncio.ensure_future(take(n)) for n in range(3 * UNFLUSHED)]
        for _ in range(200):
            await asyncio.sleep(0.005)
        assert FLUSH_AT <= len(taken) <= UNFLUSHED
        assert not read_segments(store, PREFIX)
        store.gate.set()
        await asyncio.gather(*tasks)
        await journal.close()
        assert len(read_segments(store, PREFIX)) == 3 * UNFLUSHED

    asyncio.run(go())


def test_a_flush_does_not_wait_for_what_comes_after_it(tmp_path: Path) -> None:
    async def go() -> None:
        store = open_store(str(tmp_path))
        journal = Journal(store)
        flushed = False

        async def keep_coming(worker: int) -> None:
            number = 0
            while not flushed:
                await journal.append(f"{PREFIX}{worker}/", f"k{number}", answer(str(number)))
                number += 1

        others = [asyncio.ensure_future(keep_coming(n)) for n in range(4)]
        await journal.append(PREFIX, "mine", answer("mine"))
        await asyncio.wait_for(journal.flush(), 60)
        assert "mine" in read_segments(store, PREFIX)
        flushed = True
        await asyncio.gather(*others)
        await journal.close()

    asyncio.run(go())


def test_equal_questions_of_two_records_are_asked_once(tmp_path: Path) -> None:
    asked: list[str] = []

    async def go() -> None:
        journal = Journal(open_store(str(tmp_path)))
        task = TaskCompletions(journal, PREFIX, {}, {})
        both = await asyncio.gather(
            task.get("k", "writer", asking("a", asked)),
            task.get("k", "writer", asking("b", asked)),
        )
        assert both[0] == both[1]
        await journal.close()

    asyncio.run(go())
    assert len(asked) == 1


def test_stored_answers_and_reusable_ones_are_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []
    store = open_store(str(tmp_path))

    async def go() -> None:
        journal = Journal(store)
        task = TaskCompletions(journal, PREFIX, {"k1": answer("one")}, {"k2": answer("two")})
        assert await task.get("k1", "writer", asking("x", asked)) == answer("one")
        assert await task.get("k2", "critic", asking("x", asked)) == answer("two")
        assert await task.get("k3", "writer", asking("three", asked)) == answer("three")
        assert set(task.used) == {"k1", "k2", "k3"}
        await journal.close()

    asyncio.run(go())
    assert asked == ["three"]
    assert set(read_segments(store, PREFIX)) == {"k2", "k3"}


class FullStore(LocalStore):
    """Has no room for the first writes."""

    refused = 0

    def put(self, key: str, data: bytes) -> None:
        if self.refused < 2:
            self.refused += 1
            raise StoreFull("no room")
        super().put(key, data)


def test_a_full_store_pauses_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "FULL_STORE_SECONDS", 0.01)
    store = FullStore(tmp_path)

    async def go() -> None:
        journal = Journal(store)
        await journal.append(PREFIX, "k1", answer("one"))
        await journal.flush()
        assert not journal.store_full
        await journal.close()

    asyncio.run(go())
    assert store.refused == 2
    assert set(read_segments(store, PREFIX)) == {"k1"}


class BrokenStore(LocalStore):
    def put(self, key: str, data: bytes) -> None:
        raise OSError("the disk is gone")


def test_a_broken_store_is_heard_of_by_whoever_waits_for_it(tmp_path: Path) -> None:
    async def go() -> None:
        journal = Journal(BrokenStore(tmp_path))
        await journal.append(PREFIX, "k1", answer("one"))
        with pytest.raises(OSError, match="the disk is gone"):
            await journal.flush()
        with pytest.raises(OSError, match="the disk is gone"):
            await journal.append(PREFIX, "k2", answer("two"))

    asyncio.run(go())
