"""Watch fan-out: how many events per second reach all watchers together, each over its own TLS connection."""

from __future__ import annotations

import asyncio
import json
import time

import uvloop

from bench.cluster import Running, cluster
from bench.requests import API_SERVER_ONLY, pod, prepare

SECONDS = 6.0


class Watcher(asyncio.Protocol):
    """Counts the events of one watch by their newlines; the HTTP framing has one of its own per chunk."""

    def __init__(self, running: Running, counter: list[int]) -> None:
        self._running = running
        self._counter = counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(
            b"GET /api/v1/namespaces/default/pods?watch=true&resourceVersion=0 HTTP/1.1\r\n"
            b"Host: bench\r\nAuthorization: Bearer " + self._running.token.encode() + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self._counter[0] += data.count(b'"type":"MODIFIED"')


async def measure(running: Running, watchers: int) -> float:
    loop = asyncio.get_running_loop()
    counter = [0]
    for _ in range(watchers):
        await loop.create_connection(
            lambda: Watcher(running, counter),
            running.host,
            running.port,
            ssl=running.context,
            server_hostname="localhost",
        )
    writer = loop.run_in_executor(None, write, running, time.monotonic() + SECONDS + 1.0)
    await asyncio.sleep(1.0)
    before, started = counter[0], time.monotonic()
    await asyncio.sleep(SECONDS)
    rate = (counter[0] - before) / (time.monotonic() - started)
    await writer
    return rate


def write(running: Running, until: float) -> None:
    """Patch Pods over a few connections, one after the other, as fast as they are answered."""
    connection = running.connect()
    number = 0
    while time.monotonic() < until:
        number += 1
        body = json.dumps({"metadata": {"annotations": {"count": str(number)}}})
        headers = {"Content-Type": "application/merge-patch+json"}
        connection.request("PATCH", f"/api/v1/namespaces/default/pods/p{number % 10}", body, headers)
        connection.getresponse().read()
    connection.close()


def fan_out(watchers: int) -> float:
    with cluster(*API_SERVER_ONLY) as running:
        prepare(running, 10)
        return uvloop.run(measure(running, watchers))


__all__ = ["fan_out", "pod"]
