"""Probe checks against real listeners on this machine."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from pinnace.core.clock import RealClock
from pinnace.kubelet.probes import checks

CLOCK = RealClock()
SPEC: dict[str, Any] = {"ports": [{"name": "web", "containerPort": 1}]}


async def serve(answer: bytes) -> tuple[asyncio.Server, int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def unused_port() -> int:
    server, port = await serve(b"")
    server.close()
    await server.wait_closed()
    return port


@pytest.mark.parametrize(
    ("answer", "passed", "output"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, "hi"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", True, ""),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", False, "HTTP probe failed with statuscode: 503"),
    ],
)
async def test_http(answer: bytes, passed: bool, output: str) -> None:
    server, port = await serve(answer)
    async with server:
        assert await checks.http_get({"path": "x", "port": port}, SPEC, "127.0.0.1", 2, CLOCK) == (passed, output)


async def test_http_that_does_not_come_about() -> None:
    port = await unused_port()
    passed, output = await checks.http_get({"path": "/x", "port": port}, SPEC, "127.0.0.1", 2, CLOCK)
    expected = f'Get "http://127.0.0.1:{port}/x": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert (passed, output) == (False, expected)
    server, port = await serve(b"rubbish\r\n\r\n")
    async with server:
        passed, output = await checks.http_get({"port": port}, SPEC, "127.0.0.1", 2, CLOCK)
        assert not passed and "malformed" in output
    passed, output = await checks.http_get({"port": "other"}, SPEC, "127.0.0.1", 2, CLOCK)
    assert (passed, output) == (False, "couldn't find port: other")


async def test_tcp() -> None:
    server, port = await serve(b"")
    async with server:
        assert await checks.tcp_connect({"port": port}, SPEC, "127.0.0.1", 2, CLOCK) == (True, "")
    port = await unused_port()
    passed, output = await checks.tcp_connect({"port": port}, SPEC, "127.0.0.1", 2, CLOCK)
    assert (passed, output) == (False, f"dial tcp 127.0.0.1:{port}: connect: connection refused")


async def test_grpc() -> None:
    async def check(request: bytes, context: Any) -> bytes:
        if request == b"\x0a\x04gone":
            return b"\x08\x02"
        return b"\x08\x01"

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await checks.grpc_health({"port": port}, "127.0.0.1", 2) == (True, "service healthy")
        found = await checks.grpc_health({"port": port, "service": "gone"}, "127.0.0.1", 2)
        assert found == (False, 'service unhealthy (responded with "NOT_SERVING")')
    finally:
        await server.stop(None)
    passed, output = await checks.grpc_health({"port": port}, "127.0.0.1", 1)
    assert not passed and output
