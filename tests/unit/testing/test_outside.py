"""Clients outside get their time: what virtual time waits for."""

import threading
import time

from pinnace.core.clock import RealClock, VirtualClock
from pinnace.testing.outside import Outside, others_at_work


def outside(react: float) -> Outside:
    clients = Outside()
    clients.use(VirtualClock(outside=RealClock()))
    clients.react = react
    return clients


async def test_nobody_told_nobody_waited_for():
    began = time.monotonic()
    await outside(5.0).keep_pace()
    assert time.monotonic() - began < 4.0


async def test_who_was_told_something_gets_the_time_once():
    clients = outside(0.05)
    clients.told()
    began = time.monotonic()
    await clients.keep_pace()
    assert time.monotonic() - began >= 0.05
    began = time.monotonic()
    clients.react = 5.0
    await clients.keep_pace()
    assert time.monotonic() - began < 4.0


async def test_a_thread_that_works_is_no_silence():
    clients = outside(0.1)
    done: list[float] = []

    def work() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
        done.append(time.monotonic())

    thread = threading.Thread(target=work)
    clients.told()
    thread.start()
    await clients.keep_pace()
    assert done
    thread.join()


def test_a_thread_that_waits_is_not_at_work():
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert any(not others_at_work() for _ in range(1000))
    finally:
        end.set()
        thread.join()
