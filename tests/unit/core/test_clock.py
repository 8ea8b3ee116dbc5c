"""Virtual time fires timers in order and lets what they cause happen before the next one."""

import asyncio

import pytest

from pinnace.core import clock as clocks


def virtual() -> clocks.VirtualClock:
    return clocks.VirtualClock(start=1000.0)


async def test_advance_fires_timers_in_order_of_time_then_registration():
    clock = virtual()
    fired: list[str] = []
    clock.call_later(2, fired.append, "b")
    clock.call_later(1, fired.append, "a")
    clock.call_later(2, fired.append, "c")
    clock.call_later(9, fired.append, "late")
    await clock.advance(5)
    assert fired == ["a", "b", "c"]
    assert clock.now() == 1005.0


async def test_a_sleeper_sees_the_time_it_asked_for_and_may_sleep_again():
    clock = virtual()
    seen: list[float] = []

    async def sleeper() -> None:
        for _ in range(3):
            await clock.sleep(10)
            seen.append(clock.monotonic())

    task = asyncio.create_task(sleeper())
    await clock.advance(25)
    assert seen == [10.0, 20.0]
    await clock.advance(5)
    await task
    assert seen == [10.0, 20.0, 30.0]


async def test_a_cancelled_timer_does_not_fire():
    clock = virtual()
    fired: list[int] = []
    clock.call_later(1, fired.append, 1).cancel()
    await clock.advance(2)
    assert fired == []


async def test_timeout_raises_after_virtual_seconds():
    clock = virtual()

    async def slow() -> None:
        async with clocks.timeout(clock, 3):
            await clock.sleep(60)

    task = asyncio.create_task(slow())
    await clock.advance(2.9)
    assert not task.done()
    await clock.advance(0.2)
    await clock.settle()
    with pytest.raises(TimeoutError):
        await task


def test_timestamps_round_trip():
    assert clocks.timestamp(0) == "1970-01-01T00:00:00Z"
    assert clocks.timestamp_micro(1.5) == "1970-01-01T00:00:01.500000Z"
    assert clocks.parse_timestamp("1970-01-01T01:00:00+01:00") == 0.0
    with pytest.raises(ValueError, match="time zone"):
        clocks.parse_timestamp("1970-01-01T00:00:00")
