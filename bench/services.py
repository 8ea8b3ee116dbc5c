"""Service changes: from the watch event to the kernel, among 10,000 endpoints, as one node's proxy meets them."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

#: Services and endpoints of each, by what they are called.
SHAPES = {"1,000 Services": (1000, 10), "100 Services": (100, 100), "one Service": (1, 10000)}
PER_SLICE, CHANGES = 100, 200


class Times(NamedTuple):
    """Of the loss or return of one endpoint, in milliseconds: passed, and (median) worked by this process."""

    median: float
    high: float
    cpu: float


def changes(services: int, endpoints: int) -> Times:
    """Needs root and nftables."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), services, endpoints))


async def _measure(directory: Path, services: int, endpoints: int) -> Times:
    from tests import networks

    from pinnace.api import resources

    async with networks.node_network(directory, pods=0) as net:
        slices: list[dict[str, Any]] = []
        for number in range(services):
            name = f"s{number}"
            await net.service(name, f"10.96.{128 + number // 250}.{1 + number % 250}", 80)
            made = _slices(name, number * endpoints, endpoints)
            slices += [await net.client.create(resources.ENDPOINT_SLICES, slice) for slice in made]
        last = slices[-1]["metadata"]
        await net.settled(resources.ENDPOINT_SLICES, last["name"], last["resourceVersion"])
        proxy = net.network._proxy
        assert proxy is not None
        told, at, worked = asyncio.Event(), 0.0, 0.0

        def event(old: object, new: object) -> None:
            nonlocal at, worked
            at, worked = time.perf_counter(), time.process_time()
            told.set()

        net.network._informers.of(resources.ENDPOINT_SLICES).add_handler(event)
        times: list[float] = []
        cpu: list[float] = []
        for turn in range(CHANGES):
            which = turn // 2 * 7 % len(slices)
            full = slices[which]
            gone = turn * 31 % len(full["endpoints"])
            fewer = [*full["endpoints"][:gone], *full["endpoints"][gone + 1 :]]
            told.clear()
            wanted = {**full, "endpoints": full["endpoints"] if turn % 2 else fewer}
            written = await net.client.update(resources.ENDPOINT_SLICES, wanted)
            slices[which] = {**full, "metadata": written["metadata"]}
            await told.wait()
            await proxy.current.wait()
            times.append((time.perf_counter() - at) * 1000)
            cpu.append((time.process_time() - worked) * 1000)
    return Times(statistics.median(times), sorted(times)[len(times) * 99 // 100], statistics.median(cpu))


def _slices(service: str, first: int, count: int) -> Iterator[dict[str, Any]]:
    addresses = [f"10.244.{number // 250}.{1 + number % 250}" for number in range(first, first + count)]
    for start in range(0, count, PER_SLICE):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service}-{start}",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [address], "conditions": {"ready": True}} for address in addresses[start:][:PER_SLICE]
            ],
        }
