"""Virtual time fires timers in order and lets what they cause happen before the next one."""

import asyncio
import threading

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
    with pytest.raises(TimeoutError, match="timed out after 3 s"):
        await task


def test_timestamps_round_trip():
    assert clocks.timestamp(0) == "1970-01-01T00:00:00Z"
    assert clocks.timestamp_micro(1.5) == "1970-01-01T00:00:01.500000Z"
    assert clocks.parse_timestamp("1970-01-01T01:00:00+01:00") == 0.0
    with pytest.raises(ValueError, match="time zone"):
        clocks.parse_timestamp("1970-01-01T00:00:00")


async def test_time_hops_over_stretches_of_mere_routine():
    clock = virtual()
    beats: list[float] = []

    async def beat() -> None:
        while True:
            await clock.sleep(25, routine=True)
            beats.append(clock.monotonic())

    task = asyncio.create_task(beat())
    fired: list[float] = []
    clock.call_later(3600, lambda: fired.append(clock.monotonic()))
    await clock.advance(86400)
    assert fired == [3600.0]
    assert clock.monotonic() == 86400.0
    assert len(beats) < 20
    assert 0 <= 3600.0 - max(beat for beat in beats if beat <= 3600.0) < 25.0, "a heartbeat is never old"
    assert 0 <= 86400.0 - beats[-1] < 25.0
    task.cancel()


async def test_a_missing_heartbeat_is_noticed_in_time_and_no_hop_hides_it():
    """Who listens moves its deadline with every beat; both are routine. When the beats end, the deadline is met."""
    clock = virtual()
    probed = 0.0
    alive = True
    lost: list[float] = []

    async def beat() -> None:
        nonlocal probed
        while alive:
            probed = clock.monotonic()
            await clock.sleep(20, routine=True)

    def look() -> None:
        left = probed + 50 - clock.monotonic()
        if left > 0:
            clock.call_later(left, look, routine=True)
        else:
            lost.append(clock.monotonic())

    task = asyncio.create_task(beat())
    clock.call_later(50, look, routine=True)
    for span in (100_000, 13, 7_000, 20, 1_000, 31, 100, 68_836):  # hops at all phases of the beat and of the look
        await clock.advance(span / 2)
        clock.call_later(span / 7, lambda: None)
        await clock.advance(span / 2)
    assert lost == []
    assert clock.monotonic() == 177_000
    alive = False
    await clock.advance(100_000)
    assert len(lost) == 1
    assert 177_000 < lost[0] <= 177_075
    await task


async def test_routine_of_minutes_has_its_turn_on_landing_and_of_hours_moves_along():
    clock = virtual()
    reports: list[float] = []
    ends: list[float] = []

    async def every(period: float, times: list[float]) -> None:
        while True:
            await clock.sleep(period, routine=True)
            times.append(clock.monotonic())

    tasks = [asyncio.create_task(every(300, reports)), asyncio.create_task(every(2400, ends))]
    await clock.advance(86400)
    assert reports[-1] == 86400 - clocks.QUIET
    assert ends == []
    for task in tasks:
        task.cancel()


async def test_cancelled_timers_do_not_pile_up():
    clock = virtual()
    for _ in range(10_000):
        clock.call_later(3600, lambda: None).cancel()
    assert len(clock._timers) < 2_000


async def test_several_may_settle_at_once():
    clock = virtual()
    done: list[int] = []

    async def steps() -> None:
        for step in range(20):
            await asyncio.sleep(0)
            done.append(step)

    task = asyncio.create_task(steps())
    await asyncio.gather(*(clock.settle() for _ in range(3)))
    assert task.done()
    assert len(done) == 20


def test_settling_waits_for_threads():
    done: list[str] = []

    async def main() -> None:
        clock = virtual()
        job = asyncio.create_task(asyncio.to_thread(lambda: (threading.Event().wait(0.02), done.append("job"))))
        await clock.settle()
        assert done == ["job"]
        assert job.done()

    with asyncio.Runner(loop_factory=clocks.SettlingLoop) as runner:
        runner.run(main())
