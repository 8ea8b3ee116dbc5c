"""What is done with containers that never started when a node's Pods are ended."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.kubelet.part import LAST_GRACE, without_unstarted
from pinnace.kubelet.runtime.base import CREATED, RUNNING, Container, PodState, Runtime, RuntimeFailure


class Starting:
    """A runtime whose one container runs only after so many looks; before nobody can remove it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def pods(self) -> dict[str, PodState]:
        self.looks -= 1
        container = Container("c", "main", "s", 0, CREATED if self.looks > 0 else RUNNING, 0.0)
        return {"u": PodState("u", containers=(container,))}

    async def remove_container(self, container_id: str) -> None:
        raise RuntimeFailure(f"container {container_id} is in starting state, can't be removed")


async def test_a_start_under_way_is_waited_for() -> None:
    clock = VirtualClock()
    ending = asyncio.create_task(without_unstarted(cast(Runtime, Starting(looks=4)), clock))
    await clock.advance(1.0)
    assert [container.state for container in (await ending)["u"].containers] == [RUNNING]


async def test_but_not_for_ever() -> None:
    clock = VirtualClock()
    ending = asyncio.create_task(without_unstarted(cast(Runtime, Starting(looks=10_000)), clock))
    await clock.advance(LAST_GRACE + 1.0)
    with pytest.raises(RuntimeFailure, match="in starting state"):
        await ending
