"""Where webhooks of Services are called, and what became of calls, without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.webhooks import ALLOW, serving

from pinnace.apiserver.resources import codec
from pinnace.apiserver.webhooks import WebhookClient, WebhookError
from pinnace.core.clock import RealClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Put, Store, Txn

REVIEW = {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}}


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    made = open_memory(stamp=codec.stamp, clock=RealClock())
    yield made
    await made.close()


async def put(store: Store, key: str, **fields: Any) -> None:
    name = key.rpartition("/")[2]
    obj = {"kind": "K", "apiVersion": "v1", "metadata": {"name": name, **fields.pop("metadata", {})}, **fields}
    await store.commit(Txn((), (Put(f"/registry/{key}", codec.encode(obj)),)))


async def slice_of(
    store: Store, name: str, address: str, port: int, *, ready: bool = True, port_name: str = ""
) -> None:
    await put(
        store,
        f"discovery.k8s.io/endpointslices/default/{name}",
        metadata={"labels": {"kubernetes.io/service-name": "hook"}},
        ports=[{"name": port_name, "port": port}],
        endpoints=[{"addresses": [address], "conditions": {"ready": ready}}],
    )


async def test_a_service_is_called_at_a_ready_endpoint_of_its_port(store: Store, tmp_path: Path) -> None:
    client = WebhookClient(store, RealClock())
    ports = [{"name": "metrics", "port": 80}, {"name": "https", "port": 443, "targetPort": 8443}]
    await put(store, "services/default/hook", spec={"clusterIP": "10.96.0.9", "ports": ports})
    with serving(tmp_path, "hook.default.svc") as webhook:
        webhook.answers["/"] = lambda _: ALLOW
        webhook.context = webhook.authority.context("hook.default.svc")
        await slice_of(store, "hook-a", "192.0.2.1", webhook.port, ready=False, port_name="https")
        await slice_of(store, "hook-b", "127.0.0.1", webhook.port, port_name="https")
        await slice_of(store, "hook-c", "192.0.2.2", 80, port_name="metrics")
        service = {"namespace": "default", "name": "hook", "port": 443}
        config = {"service": service, "caBundle": webhook.authority.bundle}
        answer = await client.post(config, REVIEW, 5)
        assert answer["response"]["uid"] == "u"
        assert webhook.headers[0]["Host"] == "hook.default.svc:443"
        with pytest.raises(WebhookError, match='no service port 444 found for service "hook"'):
            await client.post({**config, "service": {**service, "port": 444}}, REVIEW, 5)
        await slice_of(store, "hook-b", "127.0.0.1", webhook.port, ready=False, port_name="https")
        with pytest.raises(WebhookError) as caught:
            await client.post(config, REVIEW, 5)
        url = "https://hook.default.svc:443/?timeout=5s"
        assert str(caught.value) == f'Post "{url}": no endpoints available for service "hook"'
        client.close()


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(store: Store, tmp_path: Path) -> None:
    client = WebhookClient(store, RealClock())
    with serving(tmp_path) as webhook:
        webhook.answers["/"] = lambda _: ALLOW
        await client.post(webhook.config(), REVIEW, 5)
        assert webhook.connections == 1
        webhook.drop = True
        await client.post(webhook.config(), REVIEW, 5)  # answered, then closed without a word
        await client.post(webhook.config(), REVIEW, 5)
        assert webhook.connections == 2
        client.close()


async def test_a_bundle_that_is_none_and_an_answer_without_end(store: Store, tmp_path: Path) -> None:
    client = WebhookClient(store, RealClock())
    with serving(tmp_path) as webhook:
        with pytest.raises(WebhookError, match="unable to parse bytes as PEM block"):
            await client.post({**webhook.config(), "caBundle": "bm9uZQ=="}, REVIEW, 5)
        webhook.raw["/"] = 200, b" " * (64 * 1024 * 1024 + 1)
        with pytest.raises(WebhookError, match="response body too large"):
            await client.post(webhook.config(), REVIEW, 20)
        client.close()
