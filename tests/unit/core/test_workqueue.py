"""The work queue's promises: no key twice at a time, none lost, failed ones again after a growing delay."""

import asyncio

from pinnace.core.clock import VirtualClock
from pinnace.core.workqueue import WorkQueue


async def test_a_key_added_twice_is_handed_out_once():
    queue: WorkQueue[str] = WorkQueue(VirtualClock())
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_worked_on_comes_again_only_when_done():
    queue: WorkQueue[str] = WorkQueue(VirtualClock())
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1


async def test_failures_back_off_and_success_starts_anew():
    clock = VirtualClock()
    queue: WorkQueue[str] = WorkQueue(clock, base_delay=1, max_delay=4)
    tries: list[float] = []
    delays: list[float] = []

    async def work(key: str) -> None:
        tries.append(clock.monotonic())
        if len(tries) < 5:
            raise ValueError(key)

    worker = asyncio.create_task(queue.run(work, lambda key, error, delay: delays.append(delay)))
    queue.add("a")
    await clock.advance(60)
    assert tries == [0, 1, 3, 7, 11]
    assert delays == [1, 2, 4, 4]
    assert queue.failures("a") == 0
    worker.cancel()


async def test_the_earliest_delayed_add_counts():
    clock = VirtualClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    await clock.advance(3)
    assert len(queue) == 1
    await queue.get()
    queue.done("a")
    await clock.advance(60)
    assert len(queue) == 0
