"""The bridge between tests and the cluster's event loop."""

import asyncio
import threading

import pytest

from pinnace.testing.thread import LoopThread


def running() -> LoopThread:
    thread = LoopThread(asyncio.new_event_loop, "loop")
    thread.start()
    return thread


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_results_and_failures_come_back():
    thread = running()

    async def fail() -> None:
        raise LookupError("there is none")

    assert thread.call(answer()) == 42
    with pytest.raises(LookupError, match="there is none"):
        thread.call(fail())
    thread.stop()


def test_who_waits_when_it_stops_is_told():
    thread = running()
    begun = threading.Event()
    told: list[BaseException] = []

    async def for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            thread.call(for_ever())
        except RuntimeError as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    begun.wait(10)
    thread.stop()
    waiting.join(10)
    assert "stopped" in str(told[0])
    with pytest.raises(RuntimeError, match="this cluster is stopped"):
        thread.call(answer())
    thread.stop()


def test_the_loop_does_not_wait_for_itself():
    thread = running()

    async def again() -> None:
        thread.call(answer())

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        thread.call(again())
    thread.stop()
