"""The controllers as clients over HTTPS of an API server with authorization and admission: nothing they do needs to be
in its process."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.integration.apiserver import running

from pinnace.api import meta
from pinnace.api.errors import is_reason
from pinnace.api.resources import DEPLOYMENTS, ENDPOINT_SLICES, NAMESPACES, PODS, REPLICA_SETS, SECRETS, SERVICES
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH, Client
from pinnace.controllers.manager import Controllers
from pinnace.core.clock import RealClock, timestamp


async def wait_until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)
    assert await condition(), what


async def is_gone(client: Client, *at: Any) -> bool:
    try:
        await client.get(*at)
    except Exception as error:
        if is_reason(error, "NotFound"):
            return True
        raise
    return False


def deployment() -> Object:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team"},
        "spec": spec,
    }


async def make_ready(client: Client) -> None:
    now = timestamp(RealClock().now())
    for number, pod in enumerate((await client.list(PODS, "team"))["items"]):
        ip = f"10.244.0.{number + 2}"
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]}
        await client.patch(
            PODS,
            meta.name(pod),
            {"status": status},
            "team",
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )


async def test_the_life_of_a_namespace(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        controllers = Controllers(lambda _: api.https, RealClock(), root_ca=api.authority.read_text())
        await controllers.start()
        try:
            client = api.client
            await client.create(NAMESPACES, {"metadata": {"name": "team"}})
            await wait_until(lambda: _has_account(client), "the default account")
            await client.create(DEPLOYMENTS, deployment())
            port = {"port": 80}
            service = {
                "metadata": {"name": "web", "namespace": "team"},
                "spec": {"selector": {"app": "web"}, "ports": [port]},
            }
            await client.create(SERVICES, service)
            await wait_until(lambda: _count(client, PODS, 3), "three Pods")
            await make_ready(client)
            await wait_until(lambda: _is_available(client), "an available Deployment")
            await wait_until(lambda: _has_endpoints(client, 3), "three endpoints")
            await _check_token_secret(client)
            await client.delete(DEPLOYMENTS, "web", "team", propagation="Foreground")
            await wait_until(lambda: is_gone(client, DEPLOYMENTS, "web", "team"), "the Deployment's end")
            assert (await client.list(REPLICA_SETS, "team"))["items"] == []
            await client.delete(NAMESPACES, "team")
            await wait_until(lambda: is_gone(client, NAMESPACES, "team"), "the Namespace's end")
        finally:
            await controllers.stop()


async def _has_account(client: Client) -> bool:
    from pinnace.api.resources import SERVICE_ACCOUNTS

    return not await is_gone(client, SERVICE_ACCOUNTS, "default", "team")


async def _count(client: Client, gvr: Any, wanted: int) -> bool:
    return len((await client.list(gvr, "team"))["items"]) == wanted


async def _is_available(client: Client) -> bool:
    held = await client.get(DEPLOYMENTS, "web", "team")
    progressing = meta.condition(held, "Progressing") or {}
    return meta.has_condition(held, "Available") and progressing.get("reason") == "NewReplicaSetAvailable"


async def _has_endpoints(client: Client, wanted: int) -> bool:
    found = (await client.list(ENDPOINT_SLICES, "team", label_selector="kubernetes.io/service-name=web"))["items"]
    return sum(len(one.get("endpoints") or ()) for one in found) == wanted


async def _check_token_secret(client: Client) -> None:
    annotations = {"kubernetes.io/service-account.name": "default"}
    metadata = {"name": "token", "namespace": "team", "annotations": annotations}
    await client.create(SECRETS, {"metadata": metadata, "type": "kubernetes.io/service-account-token"})

    async def is_filled() -> bool:
        return "token" in ((await client.get(SECRETS, "token", "team")).get("data") or {})

    await wait_until(is_filled, "a token")
    token = b64decode((await client.get(SECRETS, "token", "team"))["data"]["token"]).decode()
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = await client.transport.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review)
    assert answer["status"]["user"]["username"] == "system:serviceaccount:team:default"
