"""Service changes: from the watch event to the kernel, among 10,000 endpoints, as one node's proxy meets them."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

SERVICES, ENDPOINTS, CHANGES = 1000, 10, 300


def changes() -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds, of the loss of one endpoint. Needs root and nftables."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(directory: Path) -> tuple[float, float]:
    from tests import networks

    from pinnace.api import resources

    async with networks.node_network(directory, pods=0) as net:
        for number in range(SERVICES):
            await net.service(f"s{number}", f"10.96.{128 + number // 250}.{1 + number % 250}", 80)
        slices = [
            await net.endpoints_unseen(f"s{number}", 8080, *_addresses(number, ENDPOINTS)) for number in range(SERVICES)
        ]
        last = slices[-1]["metadata"]
        await net.settled(resources.ENDPOINT_SLICES, last["name"], last["resourceVersion"])
        proxy = net.network._proxy
        assert proxy is not None
        told, at = asyncio.Event(), 0.0

        def event(old: object, new: object) -> None:
            nonlocal at
            at = time.perf_counter()
            told.set()

        net.network._informers.of(resources.ENDPOINT_SLICES).add_handler(event)
        times: list[float] = []
        for turn in range(CHANGES):
            number = turn * 7 % SERVICES
            held = slices[number]
            fewer: dict[str, Any] = {**held, "endpoints": held["endpoints"][: ENDPOINTS - 1]}
            told.clear()
            await net.client.update(resources.ENDPOINT_SLICES, fewer)
            await told.wait()
            await proxy.current.wait()
            times.append((time.perf_counter() - at) * 1000)
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def _addresses(service: int, count: int) -> list[str]:
    return [f"10.244.{service % 250}.{1 + (service // 250) * count + number}" for number in range(count)]
