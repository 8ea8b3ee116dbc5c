"""Gives Services of type LoadBalancer an address out of a pool, as a cloud's service controller does.

The address goes to ``status.loadBalancer``; a finalizer holds the Service until it is given back. Services with a
``loadBalancerClass`` are some other controller's. What another client writes into the status stays until the
Service's own wishes change. One that gets no address is told why in an event and waits until one is free.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.resources import SERVICES
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import kit
from pinnace.core.ipranges import IPRanges

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


class PoolError(Exception):
    """No address for this Service; says why."""


class Pool:
    """Which owner holds which address of the ranges. Pure."""

    def __init__(self, ranges: IPRanges) -> None:
        self.ranges = ranges
        self._owners: dict[str, str] = {}  # address -> owner
        self._held: dict[str, str] = {}  # owner -> address

    def held(self, owner: str) -> str:
        return self._held.get(owner, "")

    def note(self, address: str, owner: str) -> None:
        """Take what ``owner`` says it has, if it is the pool's and free and it holds no other."""
        if address in self.ranges and address not in self._owners and owner not in self._held:
            self._owners[address], self._held[owner] = owner, address

    def take(self, owner: str, wanted: str = "") -> str:
        """The address of ``owner``: what it holds, the ``wanted`` one, or the first that is free. Raises PoolError, and
        changes nothing then."""
        held = self._held.get(owner)
        if held and wanted in ("", held):
            return held
        address = self._named(wanted, owner) if wanted else self._first()
        self.release(owner)
        self._owners[address], self._held[owner] = owner, address
        return address

    def _named(self, wanted: str, owner: str) -> str:
        if wanted not in self.ranges:
            raise PoolError(f"{wanted} is not in the cluster's pool {self.ranges.text}")
        if (other := self._owners.get(wanted, owner)) != owner:
            raise PoolError(f"{wanted} is the address of Service {other}")
        return wanted

    def _first(self) -> str:
        for address in self.ranges:
            if address not in self._owners:
                return address
        raise PoolError(f"no address of the pool {self.ranges.text} is free")

    def release(self, owner: str) -> bool:
        """Whether it held one."""
        address = self._held.pop(owner, None)
        if address is not None:
            del self._owners[address]
        return address is not None


class LoadBalancerController(kit.Controller):
    """Allocates from ``ranges``."""

    name = "service-lb-controller"
    account = "service-controller"

    def __init__(self, tools: kit.Kit, ranges: IPRanges) -> None:
        super().__init__(tools)
        self._events = self.recorder("service-controller")
        self._pool = Pool(ranges)
        self._refused: dict[str, str] = {}  # Service -> why it has no address
        self._services = tools.informer(SERVICES)
        self._services.add_handler(self._service_changed)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        service = new if new is not None else old
        if service is None:
            return
        key = meta.key(service)
        if new is not None and _wants(new):
            for address in _addresses(new):
                self._pool.note(address, key)
        if _wants(service) or FINALIZER in meta.finalizers(service) or self._pool.held(key) or key in self._refused:
            self.enqueue(service)

    async def sync(self, key: str) -> None:
        service = self._services.by_key(key)
        if service is None or not _wants(service):
            await self._clean_up(key, service)
            return
        wanted, before = str(service["spec"].get("loadBalancerIP") or ""), self._pool.held(key)
        try:
            address = self._pool.take(key, wanted)
        except PoolError as error:
            self._refuse(key, service, str(error))
            return
        self._refused.pop(key, None)
        if before and before != address:
            self._events.event(service, NORMAL, "LoadbalancerIP", f"{before} -> {address}")
            self._retry_others(key)
        finalizers = meta.finalizers(service)
        if before == address and FINALIZER in finalizers and _has_ingress(service):
            return
        self._events.event(service, NORMAL, "EnsuringLoadBalancer", "Ensuring load balancer")
        balancer = {"ingress": [{"ip": address, "ipMode": "VIP"}]}
        kept = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
        await self._patch(service, kept, balancer)
        self._events.event(service, NORMAL, "EnsuredLoadBalancer", "Ensured load balancer")

    def _refuse(self, key: str, service: Object, why: str) -> None:
        if self._refused.get(key) != why:
            self._refused[key] = why
            message = f"Error syncing load balancer: failed to ensure load balancer: {why}"
            self._events.event(service, WARNING, "SyncLoadBalancerFailed", message)

    async def _clean_up(self, key: str, service: Object | None) -> None:
        self._refused.pop(key, None)
        if service is not None and FINALIZER in meta.finalizers(service):
            self._events.event(service, NORMAL, "DeletingLoadBalancer", "Deleting load balancer")
            kept = [name for name in meta.finalizers(service) if name != FINALIZER]
            await self._patch(service, kept, None)
            self._events.event(service, NORMAL, "DeletedLoadBalancer", "Deleted load balancer")
        if self._pool.release(key):
            self._retry_others(key)

    def _retry_others(self, key: str) -> None:
        for waiting in self._refused.keys() - {key}:
            self.queue.add(waiting)

    async def _patch(self, service: Object, finalizers: list[str], balancer: Object | None) -> None:
        change: Object = {
            "metadata": {"finalizers": finalizers or None, "resourceVersion": meta.resource_version(service)},
            "status": {"loadBalancer": balancer},
        }
        await self.client.patch(SERVICES, meta.name(service), change, meta.namespace(service), subresource="status")


def _wants(service: Object) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not meta.is_deleting(service)


def _ingress(service: Object) -> list[Object]:
    return list(((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ())


def _has_ingress(service: Object) -> bool:
    return bool(_ingress(service))


def _addresses(service: Object) -> list[str]:
    return [str(entry["ip"]) for entry in _ingress(service) if entry.get("ip")]
