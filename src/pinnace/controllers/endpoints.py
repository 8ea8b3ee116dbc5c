"""Endpoints, the older form: one object per Service that selects Pods."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import ENDPOINTS, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.controllers import endpointslice, kit, podstate, slices

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000


def subsets(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The addresses, grouped by the ports they serve, ready and not ready apart. Pure."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = slices.address_types(service)[0]
    found: dict[bytes, tuple[list[Object], list[Object], list[Object]]] = {}
    for pod in sorted(pods, key=lambda pod: (pod.get("status") or {}).get("podIP") or ""):
        addresses = slices.pod_addresses(pod, family)
        if not slices.is_endpoint(pod) or not addresses or (meta.is_deleting(pod) and not publish):
            continue
        ports = [_port(port) for port in slices.ports_of(service, pod)]
        if not ports and not (slices.is_headless(service) and not service["spec"].get("ports")):
            continue
        group = found.setdefault(orjson.dumps(ports), (ports, [], []))
        group[1 if publish or podstate.is_ready(pod) else 2].append(_address(service, pod, addresses[0]))
    result: list[Object] = []
    for _, (ports, ready, unready) in sorted(found.items()):
        entry: Object = {}
        if ready:
            entry["addresses"] = ready
        if unready:
            entry["notReadyAddresses"] = unready
        if ports:
            entry["ports"] = ports
        result.append(entry)
    return result


def _port(port: Object) -> Object:
    return {name: value for name, value in port.items() if value != ""}


def _address(service: Object, pod: Object, ip: str) -> Object:
    address: Object = {"ip": ip}
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == meta.name(service):
        address["hostname"] = pod["spec"]["hostname"]
    if podstate.node_of(pod):
        address["nodeName"] = podstate.node_of(pod)
    address["targetRef"] = {
        "kind": "Pod",
        "namespace": meta.namespace(pod),
        "name": meta.name(pod),
        "uid": meta.uid(pod),
    }
    return address


def truncated(found: list[Object]) -> tuple[list[Object], bool]:
    """At most ``CAPACITY`` addresses, ready ones kept before others; whether something was left out."""
    total = sum(len(entry.get("addresses", ())) + len(entry.get("notReadyAddresses", ())) for entry in found)
    if total <= CAPACITY:
        return found, False
    left = CAPACITY
    kept: list[Object] = [{"ports": entry["ports"]} if "ports" in entry else {} for entry in found]
    for kind in ("addresses", "notReadyAddresses"):
        for entry, target in zip(found, kept, strict=True):
            part = entry.get(kind, [])[:left]
            left -= len(part)
            if part:
                target[kind] = part
    return [entry for entry in kept if entry.keys() - {"ports"}], True


class EndpointsController(kit.Controller):
    """Keeps the Endpoints of every Service with a selector."""

    name = "endpoint-controller"
    account = "endpoint-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._services = tools.informer(SERVICES)
        self._pods = tools.informer(PODS)
        self._endpoints = tools.informer(ENDPOINTS)
        self._times = endpointslice.TriggerTimes()
        self.watch(self._services)
        self.watch(self._endpoints)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if endpointslice.facets(old) == endpointslice.facets(new):
            return
        pod = new if new is not None else old
        for service in self._services.in_namespace(meta.namespace(pod or {})):
            if endpointslice.selects(service, old) or endpointslice.selects(service, new):
                self.enqueue(service)

    async def sync(self, key: str) -> None:
        service, held = self._services.by_key(key), self._endpoints.by_key(key)
        if service is None:
            self._times.forget(key)
            if held is not None and meta.labels(held).get(MANAGED_BY) == MANAGER:
                await self._delete(held)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        pods = [pod for pod in self._pods.in_namespace(meta.namespace(service)) if endpointslice.selects(service, pod)]
        found, over = truncated(subsets(service, pods))
        labels = {k: v for k, v in meta.labels(service).items() if k not in (MANAGED_BY, slices.HEADLESS)}
        labels[MANAGED_BY] = MANAGER
        if slices.is_headless(service):
            labels[slices.HEADLESS] = ""
        annotations = dict(meta.annotations(held)) if held is not None else {}
        annotations.pop(OVER_CAPACITY, None)
        if over:
            annotations[OVER_CAPACITY] = "truncated"
        trigger = self._times.compute(service, pods)
        if held is not None:
            same = (held.get("subsets") or []) == found and meta.labels(held) == labels
            if same and meta.annotations(held) == annotations:
                return
        if trigger:
            annotations[slices.TRIGGER_TIME] = trigger
        await self._write(service, held, labels, annotations, found)

    async def _write(
        self,
        service: Object,
        held: Object | None,
        labels: dict[str, str],
        annotations: dict[str, str],
        found: list[Object],
    ) -> None:
        base = (
            held["metadata"] if held is not None else {"name": meta.name(service), "namespace": meta.namespace(service)}
        )
        metadata = {**base, "labels": labels, "annotations": annotations}
        wanted: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
        if found:
            wanted["subsets"] = found
        try:
            if held is None:
                await self.client.create(ENDPOINTS, wanted)
            else:
                await self.client.update(ENDPOINTS, wanted)
        except ApiError as error:
            if not is_namespace_terminating(error):
                raise

    async def _delete(self, held: Object) -> None:
        try:
            await self.client.delete(ENDPOINTS, meta.name(held), meta.namespace(held), uid=meta.uid(held))
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
