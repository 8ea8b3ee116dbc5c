"""A cluster of an API server on the memory store and the controllers, in virtual time, without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

import orjson
import pytest_asyncio

from pinnace.api import builtin, meta
from pinnace.api.errors import is_reason
from pinnace.api.resources import EVENTS, NAMESPACES, NODES, PODS
from pinnace.api.types import GVR, Object
from pinnace.apiserver.auth.authorize import Authorizers, refusal
from pinnace.apiserver.auth.policy import Policy
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.bootstrap import policy, reconcile
from pinnace.apiserver.discovery import Discovery
from pinnace.apiserver.request import Attributes, User
from pinnace.apiserver.server import ApiServer, stamp
from pinnace.client.client import STRATEGIC_MERGE_PATCH, Client
from pinnace.cluster import identities
from pinnace.controllers.kit import ClientFor
from pinnace.controllers.manager import Controllers
from pinnace.core.clock import VirtualClock, timestamp
from pinnace.core.ipranges import IPRanges
from pinnace.store.open import open_store
from pinnace.store.protocol import prefix_end

ROOT_CA = "-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n"


class Cluster:
    """What tests do to it. Pods do not run: ``make_ready`` and ``finish`` play the kubelet."""

    def __init__(self, client: Client, client_for: ClientFor, clock: VirtualClock) -> None:
        self.client = client
        self.client_for = client_for
        self.clock = clock
        self.controllers: Controllers | None = None

    async def start_controllers(self) -> None:
        pool = IPRanges("10.98.0.0/28")
        self.controllers = Controllers(self.client_for, self.clock, root_ca=ROOT_CA, load_balancer_pool=pool)
        await self.controllers.start()

    async def stop_controllers(self) -> None:
        if self.controllers is not None:
            await self.controllers.stop()
            self.controllers = None

    async def settle(self, seconds: float = 1.0) -> None:
        """Let things happen for a while of virtual time: retries with their short back-offs too."""
        await self.clock.advance(seconds)

    async def create(self, gvr: GVR, obj: Object, namespace: str = "default") -> Object:
        return await self.client.create(gvr, obj, namespace=namespace)

    async def get(self, gvr: GVR, name: str, namespace: str = "default") -> Object:
        return await self.client.get(gvr, name, namespace)

    async def maybe(self, gvr: GVR, name: str, namespace: str = "default") -> Object | None:
        try:
            return await self.client.get(gvr, name, namespace)
        except Exception as error:
            if is_reason(error, "NotFound"):
                return None
            raise

    async def list(self, gvr: GVR, namespace: str = "default", selector: str = "") -> list[Object]:
        return list((await self.client.list(gvr, namespace, label_selector=selector))["items"])

    async def patch(self, gvr: GVR, name: str, change: Object, namespace: str = "default", **kwargs: Any) -> Object:
        return await self.client.patch(gvr, name, change, namespace, **kwargs)

    async def make_ready(self, *, selector: str = "", only: Callable[[Object], bool] = lambda _: True) -> None:
        """Every Pod gets an address and becomes ready; deleted ones go."""
        for number, pod in enumerate(await self.list(PODS, selector=selector)):
            if not only(pod):
                continue
            if meta.is_deleting(pod):
                await self.client.delete(PODS, meta.name(pod), "default", grace_period_seconds=0)
            elif not meta.has_condition(pod, "Ready") and (pod.get("status") or {}).get("phase") in (
                None,
                "Pending",
                "Running",
            ):
                ip = f"10.244.0.{abs(hash(meta.uid(pod))) % 200 + 2 + number % 50}"
                await self.set_status(pod, phase="Running", podIP=ip, podIPs=[{"ip": ip}], ready="True")

    async def set_status(self, pod: Object, *, ready: str = "", **status: Any) -> None:
        if ready:
            condition = {"type": "Ready", "status": ready, "lastTransitionTime": timestamp(self.clock.now())}
            status["conditions"] = [condition]
        await self.client.patch(
            PODS,
            meta.name(pod),
            {"status": status},
            meta.namespace(pod),
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )

    async def events(self, name: str = "", namespace: str = "default") -> list[tuple[str, str]]:
        """(reason, message) of the events about an object, in the order they were first seen."""
        found = await self.list(EVENTS, namespace)
        found.sort(key=lambda event: int(meta.resource_version(event)))
        return [(e["reason"], e["message"]) for e in found if not name or e["involvedObject"]["name"] == name]

    async def add_node(self, name: str, *, labels: dict[str, str] | None = None) -> Object:
        """A node that is ready."""
        await self.client.create(
            NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels or {}}}
        )
        return await self.node_status(name, "True")

    async def node_status(self, name: str, status: str) -> Object:
        stamp = timestamp(self.clock.now())
        types = ("MemoryPressure", "DiskPressure", "PIDPressure")
        conditions: list[Object] = [
            {"type": t, "status": "False", "lastHeartbeatTime": stamp, "lastTransitionTime": stamp} for t in types
        ]
        conditions.append({"type": "Ready", "status": status, "lastHeartbeatTime": stamp, "lastTransitionTime": stamp})
        return await self.client.patch(NODES, name, {"status": {"conditions": conditions}}, subresource="status")


class Watchful(Authorizers):
    """Upstream's roles for controllers, and what they did not allow."""

    def __init__(self) -> None:
        rules = Policy()
        for obj in policy.rbac_objects():
            rules.put(reconcile.key_of(obj), obj)
        super().__init__(RbacAuthorizer(rules))
        self.refused: list[str] = []

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        allowed, why = super().authorize(attributes)
        if not allowed:
            self.refused.append(refusal(attributes))
        return allowed, why


@pytest_asyncio.fixture
async def bare() -> AsyncIterator[Cluster]:
    """An API server without controllers. At the end: whatever controllers asked for, they were allowed to."""
    clock = VirtualClock()
    store = await open_store("memory://", stamp=stamp, clock=clock)
    registry = builtin.registry()
    authorizer = Watchful()
    server = ApiServer(store, registry, clock, tls=None, listen=(), authorizer=authorizer)

    @cache
    def client_for(account: str) -> Client:
        return Client(server.transport(identities.controller(account)))

    discovery = Discovery(registry)
    server.others.roots |= {"api": discovery.answer, "apis": discovery.answer}
    await server.start()
    cluster = Cluster(Client(server.transport(User("test", groups=("system:masters",)))), client_for, clock)
    for name in ("default", "kube-system", "kube-node-lease"):
        await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield cluster
    for item in store.range("/registry/", prefix_end("/registry/")).items:
        # What informers hand out is shared: changed in place, it is no longer what is stored.
        assert item.decoded is None or item.decoded == orjson.loads(item.value), f"{item.key} was changed in place"
    await cluster.stop_controllers()
    assert authorizer.refused == []
    await server.stop()
    await store.close()


@pytest_asyncio.fixture
async def cluster(bare: Cluster) -> Cluster:
    """An API server and all controllers."""
    await bare.start_controllers()
    await bare.settle()
    return bare
