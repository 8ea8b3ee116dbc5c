"""Events go one hour after they were last written, as upstream's ``--event-ttl`` has it."""

from __future__ import annotations

import logging

from pinnace.api.types import Object
from pinnace.apiserver.resources import codec
from pinnace.core.clock import Clock, parse_timestamp
from pinnace.core.cooperate import breathe
from pinnace.store.protocol import TXN_COMPARES, Compare, Delete, Store, Txn, prefix_end

log = logging.getLogger(__name__)

PREFIX = "/registry/events/"
TTL = 3600.0
#: Seconds between two looks.
PERIOD = 60.0
#: Keys looked at in one go, and deleted in one transaction.
SLICE = TXN_COMPARES


def last_written(event: Object) -> float | None:
    """When an event last happened; None if it does not say."""
    series = event.get("series") or {}
    metadata = event["metadata"]
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        metadata.get("creationTimestamp"),
    ):
        if text:
            try:
                return parse_timestamp(str(text))
            except ValueError:
                continue
    return None


async def expire(store: Store, now: float) -> int:
    """Delete what is too old at ``now``; how many that were. One that is written meanwhile stays."""
    start, end, count = PREFIX, prefix_end(PREFIX), 0
    while True:
        found = store.range(start, end, limit=SLICE)
        old = []
        for item in found.items:
            when = last_written(codec.loads(item.value) if item.decoded is None else item.decoded)
            if when is not None and now - when > TTL:
                old.append(item)
        if old:
            compares = [Compare(item.key, item.mod_revision) for item in old]
            done = await store.commit(Txn(compares, [Delete(item.key) for item in old]))
            count += len(old) if done.succeeded else 0
        if not found.more:
            return count
        start = found.items[-1].key + "\0"
        await breathe()


async def run(store: Store, clock: Clock) -> None:
    """For ever."""
    while True:
        await clock.sleep(PERIOD, routine=True)
        if count := await expire(store, clock.now()):
            log.debug("%d events expired", count)
