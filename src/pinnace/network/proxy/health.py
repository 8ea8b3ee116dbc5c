"""Answers to external load balancers: which Services with ``externalTrafficPolicy: Local`` have endpoints here.

One port per Service (``spec.healthCheckNodePort``) on all addresses of the node; whatever is asked for there, the
answer is kube-proxy's: 200 with at least one local endpoint, else 503. Bounds: a request's head is at most ``HEAD``
bytes and comes within ``PATIENCE`` seconds; ``CONNECTIONS`` at a time, over all ports.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import Clock, timeout

log = logging.getLogger(__name__)

HEAD = 8192
PATIENCE = 10.0
CONNECTIONS = 200


class Check(NamedTuple):
    """What one port answers for."""

    namespace: str
    name: str
    endpoints: int


def check(service: Object, endpoints: int) -> tuple[int, Check] | None:
    """The port of a Service that asks for one, and its answer. Pure."""
    spec = service["spec"]
    port = spec.get("healthCheckNodePort")
    if not port or spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
        return None
    return int(port), Check(meta.namespace(service), meta.name(service), endpoints)


def answer(of: Check) -> bytes:
    """A whole HTTP answer. Pure."""
    shown = {
        "service": {"namespace": of.namespace, "name": of.name},
        "localEndpoints": of.endpoints,
        "serviceProxyHealthy": True,
    }
    body = json.dumps(shown, indent="\t").encode()
    status = HTTPStatus.OK if of.endpoints else HTTPStatus.SERVICE_UNAVAILABLE
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: {of.endpoints}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class HealthServers:
    """In the network namespace of the thread that calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._checks: dict[str, tuple[int, Check]] = {}  # by Service
        self._servers: dict[int, asyncio.Server] = {}
        self._connections = 0

    async def update(self, changed: Mapping[str, tuple[int, Check] | None]) -> None:
        """Answer as the Services of these keys want it now (None: no longer). A port that is taken is logged."""
        for key, wanted in changed.items():
            if wanted is None:
                self._checks.pop(key, None)
            else:
                self._checks[key] = wanted
        ports = {port for port, _ in self._checks.values()}
        for port in self._servers.keys() - ports:
            self._servers.pop(port).close()
        for port in sorted(ports - self._servers.keys()):
            try:
                listener = socket.create_server(("0.0.0.0", port))
            except OSError as error:
                log.error("port %d for the health checks of load balancers: %s", port, error.strerror or error)
                continue
            listener.setblocking(False)
            self._servers[port] = await asyncio.start_server(self._serve, sock=listener, limit=HEAD)

    def close(self) -> None:
        """Idempotent."""
        self._checks.clear()
        while self._servers:
            self._servers.popitem()[1].close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > CONNECTIONS:
                return
            asked_at = writer.get_extra_info("sockname")[1]
            async with timeout(self._clock, PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                found = next((check for port, check in self._checks.values() if port == asked_at), None)
                if found is not None:
                    writer.write(answer(found))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client went away or is no HTTP client
        finally:
            self._connections -= 1
            writer.close()
