"""What one turn of the event loop takes up."""

from __future__ import annotations

import asyncio

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.core.cooperate import TURN_TASKS, Turn


class Stepping(VirtualClock):
    """Every look at it is half a millisecond later."""

    def monotonic(self) -> float:
        self._elapsed += 0.0005
        return self._elapsed


async def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the loop's time stand still for a turn and longer, as uvloop's does."""
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 1.0)


async def test_so_many_tasks_are_begun_in_a_turn_and_as_many_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    await still(monkeypatch)
    turn = Turn(VirtualClock())
    for _ in range(3):
        begun = 0
        while not turn.full:
            turn.begun += 1
            begun += 1
        assert begun == TURN_TASKS
        assert turn.full, "however often it is asked"
        await asyncio.sleep(0)


async def test_what_begins_no_task_is_bounded_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    await still(monkeypatch)
    turn = Turn(Stepping())
    for _ in range(3):
        read = 0
        while not turn.full:
            read += 1
        assert 4 <= read < 12
        await asyncio.sleep(0)


async def test_what_comes_now_and_then_finds_room() -> None:
    turn = Turn(VirtualClock())
    for _ in range(100):
        assert not turn.full
        turn.begun += 1
        await asyncio.sleep(0)
