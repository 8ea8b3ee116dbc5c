"""Old values are compressed a little at a time, and an idle store does nothing."""

from __future__ import annotations

from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Event, Put, Txn


async def test_history_is_compressed_while_time_passes_and_still_read() -> None:
    clock = VirtualClock()
    store = open_memory(stamp=lambda value, revision: value, clock=clock)
    value = b'{"kind":"Pod","number":%04d}' * 100
    for number in range(1500):
        await store.commit(Txn((), [Put("/k", value % ((number,) * 100))]))
    await clock.advance(60)
    events: list[Event] = []
    store.watch("/k", "/l", 0, lambda batch: events.extend(batch or ())).cancel()
    past = [event.previous for event in events if event.previous is not None]
    compressed = [item for item in past if not isinstance(item.held, bytes)]
    assert 900 <= len(compressed) < 1000, "the newest are left as they are"
    assert [item.value for item in past] == [value % ((number,) * 100) for number in range(1499)]
    calls: list[float] = []
    clock.call_later = lambda delay, *_, **__: calls.append(delay)  # type: ignore[method-assign, assignment, return-value]
    await clock.advance(0.5)
    assert calls == []
    await store.close()
