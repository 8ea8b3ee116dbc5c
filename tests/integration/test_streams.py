"""Logs, exec and port-forward on their way through the API server to a kubelet, played here by a small TLS server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.apiserver import Api, closed, running

from pinnace.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ENDPOINT_SLICES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from pinnace.apiserver.resources import streams
from pinnace.core.http1 import HttpConnection

POD = "/api/v1/namespaces/default/pods/web"
Kubelet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def node(directory: Path, kubelet: Kubelet) -> AsyncIterator[tuple[Api, list[str]]]:
    """An API server whose one Pod runs on a node that ``kubelet`` plays; the heads of the requests that came there."""
    heads: list[str] = []
    busy: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        try:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await kubelet(reader, writer)
        finally:
            writer.close()
            busy.discard(task)

    def trust() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(directory / "pki" / "ca.crt"))
        context.check_hostname = False
        return context

    async with running(directory, kubelet_tls=trust) as api:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "pki" / "apiserver.crt", directory / "pki" / "apiserver.key")
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        await api.client.create(NODES, {"metadata": {"name": "n1"}})
        made: Any = await api.client.get(NODES, "n1")
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        await api.client.update(NODES, {**made, "status": status}, subresource="status")
        containers = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
        pod = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "n1", "containers": containers},
        }
        await api.client.create(PODS, pod)
        try:
            yield api, heads
        finally:
            server.close()
            for task in list(busy):
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
            await server.wait_closed()


async def test_logs_come_as_the_kubelet_sends_them(tmp_path: Path) -> None:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in (b"one\n", b"two\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with node(tmp_path, kubelet) as (api, heads):
        answer = await api.call("GET", f"{POD}/log?container=b&follow=true&tailLines=5", headers={"Authorization": "x"})
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"one\ntwo\n", "text/plain")
        assert heads[0].startswith("GET /containerLogs/default/web/b?follow=true&tailLines=5 HTTP/1.1\r\n")
        assert "authorization" not in heads[0].lower()
        assert await api.client.read(f"{POD}/log", query={"container": "a"}) == b"one\ntwo\n"


async def test_which_container_is_asked(tmp_path: Path) -> None:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("nothing may reach the kubelet")

    async with node(tmp_path, kubelet) as (api, _):
        unsaid = await api.call("GET", f"{POD}/log")
        assert (unsaid.status, unsaid.json()["message"]) == (
            400,
            "a container name must be specified for pod web, choose one of: [a b]",
        )
        unknown = await api.call("GET", f"{POD}/log?container=c")
        assert (unknown.status, unknown.json()["message"]) == (400, "container c is not valid for pod web")
        nothing = await api.call("POST", f"{POD}/exec?container=a&stdout=true")
        assert nothing.json()["message"] == "you must specify at least 1 command for the container"
        for asked in ("exec?command=true&stdout=true", "attach?stdout=true", "portforward?ports=80"):
            plain = await api.call("POST", f"{POD}/{asked}&container=a")
            assert (plain.status, plain.json()["message"]) == (400, "Upgrade request required")


async def test_a_kubelets_error_is_answered_as_a_status(tmp_path: Path) -> None:
    text = b'container "a" in pod "web" is waiting to start: ContainerCreating'

    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()

    async with node(tmp_path, kubelet) as (api, _):
        answer = await api.call("GET", f"{POD}/log?container=a")
        status = answer.json()
        assert (answer.status, status["reason"], status["message"]) == (400, "BadRequest", text.decode())


async def test_exec_is_spliced_both_ways(tmp_path: Path) -> None:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello ")
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()

    async with node(tmp_path, kubelet) as (api, heads):
        connection = await api.connect()
        answer = await connection.request(
            "POST",
            f"{POD}/exec?container=a&command=sh&command=-c&command=echo+x&stdin=true&stdout=true",
            [
                ("Host", "api"),
                ("Connection", "Upgrade"),
                ("Upgrade", "SPDY/3.1"),
                ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
            ],
        )
        assert (answer.status, answer.upgraded, answer.headers["upgrade"]) == (101, True, "SPDY/3.1")
        payload = bytes(range(65, 91)).lower() * 40_000  # more than any buffer on the way
        received = connection.rest

        async def send() -> None:
            connection.writer.write(payload)
            await connection.writer.drain()

        sending = asyncio.create_task(send())
        async with asyncio.timeout(20):
            while len(received) < len(payload) + 6:
                data = await connection.reader.read(65536)
                assert data
                received += data
        await sending
        assert received == b"hello " + payload.upper()
        connection.close()
        await closed(connection)
        line, *headers = heads[0].split("\r\n")
        assert line == ("POST /exec/default/web/a?input=1&output=1&command=sh&command=-c&command=echo+x HTTP/1.1")
        assert "x-stream-protocol-version: v4.channel.k8s.io" in [header.lower() for header in headers]


async def test_an_unreachable_kubelet_is_a_clear_error(tmp_path: Path) -> None:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with node(tmp_path, kubelet) as (api, _):
        made: Any = await api.client.get(NODES, "n1")
        status = {**made["status"], "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}
        await api.client.update(NODES, {**made, "status": status}, subresource="status")
        answer = await api.call("GET", f"{POD}/log?container=a")
        assert answer.status == 500
        assert "error dialing backend: dial tcp 127.0.0.1:1" in answer.json()["message"]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.244.0.7", True),
        ("2001:db8::1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("::ffff:127.0.0.1", False),
        ("localhost", False),
    ],
)
def test_what_may_be_proxied_to(address: str, allowed: bool) -> None:
    assert streams.is_proxyable(address) is allowed


@asynccontextmanager
async def backend_of_a_pod(
    directory: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> AsyncIterator[tuple[Api, list[str]]]:
    """An API server; the Pod ``web`` of the namespace ``proxy`` says that it has ``address``, and its Service has an
    endpoint that nobody stands behind. What is asked of a Pod."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().partition(" HTTP")[0])
        writer.write(b'HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<a href="/up">.')
        await writer.drain()
        writer.close()

    async with running(directory) as api:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await api.client.create(NAMESPACES, {"metadata": {"name": "proxy"}})
        await api.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "proxy"}})
        containers = [{"name": "a", "image": "i", "ports": [{"containerPort": port}]}]
        pod = {"metadata": {"name": "web", "namespace": "proxy"}, "spec": {"containers": containers}}
        made: Any = await api.client.create(PODS, pod)
        status = {"podIP": address, "podIPs": [{"ip": address}]}
        await api.client.update(PODS, {**made, "status": {**made["status"], **status}}, subresource="status")
        service = {"metadata": {"name": "web", "namespace": "proxy"}, "spec": {"ports": [{"port": 80}]}}
        await api.client.create(SERVICES, service)
        slice: Any = {
            "metadata": {"name": "web-1", "namespace": "proxy", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"port": port, "name": ""}],
            "endpoints": [{"addresses": ["10.1.2.3"]}],
        }
        await api.client.create(ENDPOINT_SLICES, slice)

        async def connect(*_: Any) -> HttpConnection:
            return await HttpConnection.connect("127.0.0.1", port, None)

        monkeypatch.setattr(streams, "_connect", connect)
        try:
            yield api, asked
        finally:
            server.close()
            await server.wait_closed()


async def test_nobody_reaches_this_machines_own_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend_of_a_pod(tmp_path, monkeypatch, "127.0.0.1") as (api, asked):
        refused = await api.call("GET", "/api/v1/namespaces/proxy/pods/web/proxy/")
        assert (refused.status, refused.json()["message"]) == (400, "address not allowed")
        made_up = await api.call("GET", "/api/v1/namespaces/proxy/services/web/proxy/")
        assert (made_up.status, made_up.json()["message"]) == (503, 'no endpoints available for service "web"')
        assert asked == []


async def test_a_pods_own_answer_comes_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend_of_a_pod(tmp_path, monkeypatch, "10.1.2.3") as (api, asked):
        slice: Any = await api.client.get(ENDPOINT_SLICES, "web-1", "proxy")
        reference = {"kind": "Pod", "name": "web", "namespace": "proxy"}
        endpoints = [{"addresses": ["10.1.2.3"], "targetRef": reference}]
        await api.client.update(ENDPOINT_SLICES, {**slice, "endpoints": endpoints})
        for kind in ("pods", "services"):
            answer = await api.call("GET", f"/api/v1/namespaces/proxy/{kind}/web/proxy/a/proxy/b%20c?x=1")
            led = f'<a href="/api/v1/namespaces/proxy/{kind}/web/proxy/up">.'
            assert (answer.status, answer.body, answer.headers["content-type"]) == (404, led.encode(), "text/html")
        assert asked == ["GET /a/proxy/b%20c?x=1"] * 2
        for method in ("OPTIONS", "PUT", "DELETE"):
            assert (await api.call(method, "/api/v1/namespaces/proxy/pods/web/proxy?a")).status == 404
            assert asked[-1] == f"{method} /?a"
        moved = await api.call("GET", "/api/v1/namespaces/proxy/services/web/proxy?a")
        assert (moved.status, moved.headers["location"]) == (301, "/api/v1/namespaces/proxy/services/web/proxy/?a")


async def test_a_pod_that_does_not_listen_is_no_fault_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = streams._connect

    def nobody(time: Any, host: str, port: int, *rest: Any) -> Any:
        return connect(time, "127.0.0.1", 1, *rest)

    async with backend_of_a_pod(tmp_path, monkeypatch, "10.1.2.3") as (api, _):
        monkeypatch.setattr(streams, "_connect", nobody)
        answer = await api.call("GET", "/api/v1/namespaces/proxy/pods/web:9/proxy/")
        assert (answer.status, answer.json()["reason"]) == (503, "ServiceUnavailable")
        why = "error trying to reach service: dial tcp 127.0.0.1:1: connect: "
        assert answer.json()["message"].startswith(why)


async def test_who_may_only_read_gets_into_no_container(tmp_path: Path) -> None:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("nothing may reach the kubelet")

    async with node(tmp_path, kubelet) as (api, _):
        rule: Any = {"apiGroups": [""], "resources": ["*"], "verbs": ["get", "list", "watch"]}
        await api.client.create(CLUSTER_ROLES, {"metadata": {"name": "reader"}, "rules": [rule]})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"}
        subject: Any = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}
        binding = {"metadata": {"name": "reader"}, "roleRef": reference, "subjects": [subject]}
        await api.client.create(CLUSTER_ROLE_BINDINGS, binding)
        for what, query in (("exec", "container=a&command=sh&stdout=true"), ("portforward", "ports=80")):
            answer = await api.call("GET", f"{POD}/{what}?{query}", headers={"Impersonate-User": "ann"})
            assert (answer.status, answer.json()["message"]) == (
                403,
                f'pods "web" is forbidden: User "ann" cannot create resource "pods/{what}" in API group "" in the '
                'namespace "default"',
            )
