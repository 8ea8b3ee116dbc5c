"""Priority first, then age; failed tries back off; parked Pods wait for what could help them."""

from typing import Any

from pinnace.core.clock import VirtualClock
from pinnace.scheduler.nodes import PodInfo
from pinnace.scheduler.queue import ClusterEvent, SchedulingQueue


def pod(name: str, priority: int = 0, **spec: Any) -> PodInfo:
    return PodInfo(
        {
            "metadata": {"name": name, "namespace": "n", "uid": name},
            "spec": {"containers": [{"name": "c"}], "priority": priority, **spec},
        }
    )


async def test_priority_then_age():
    queue = SchedulingQueue(VirtualClock())
    for info in (pod("old"), pod("young"), pod("high", 10)):
        queue.add(info)
    assert [(await queue.pop()).uid for _ in range(3)] == ["high", "old", "young"]


async def test_an_unschedulable_pod_waits_for_an_event_its_plugin_cares_about():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("a"))
    await queue.pop()
    queue.unschedulable("a", frozenset({"NodeAffinity"}))
    await clock.advance(20)
    queue.happened(ClusterEvent.POD_GONE)
    assert queue.pop_ready() is None
    queue.happened(ClusterEvent.NODE_CHANGED)
    ready = queue.pop_ready()
    assert ready is not None and ready.uid == "a"


async def test_back_off_doubles_to_ten_seconds():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("a"))
    waits: list[float] = []
    for _ in range(6):
        await queue.pop()
        before = clock.monotonic()
        queue.failed("a")
        while not queue._active:
            await clock.advance(0.5)
        waits.append(clock.monotonic() - before)
    assert waits == [1, 2, 4, 8, 10, 10]


async def test_a_parked_pod_gets_another_try_after_five_minutes():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("a"))
    await queue.pop()
    queue.unschedulable("a", frozenset({"NodeResourcesFit"}))
    await clock.advance(299)
    assert queue.pop_ready() is None
    await clock.advance(31)
    assert queue.pop_ready() is not None


async def test_a_changed_pod_is_tried_again_and_a_removed_one_never():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("a"))
    queue.add(pod("b"))
    await queue.pop()
    await queue.pop()
    for uid in "ab":
        queue.unschedulable(uid, frozenset({"TaintToleration"}))
    await clock.advance(5)
    queue.add(pod("a", tolerations=[{"operator": "Exists"}]))
    queue.remove("b")
    queue.happened(ClusterEvent.NODE_CHANGED)
    ready = queue.pop_ready()
    assert ready is not None and ready.uid == "a"
    assert queue.pop_ready() is None
    assert len(queue) == 1


async def test_with_nothing_else_to_do_an_unschedulable_pod_does_not_sit_out_its_back_off():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("waits"))
    queue.add(pod("failed"))
    for _ in range(2):
        await queue.pop()
    queue.unschedulable("waits", frozenset({""}))
    queue.failed("failed")
    assert queue.pop_ready() is None
    queue.happened(ClusterEvent.NODE_CHANGED)
    assert (await queue.pop()).uid == "waits"
    assert queue.pop_ready() is None
    await clock.advance(1)
    assert (await queue.pop()).uid == "failed"
