"""Endpoints, the older form: one object per Service that selects Pods."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import ENDPOINTS, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.controllers import kit, selected, slices
from pinnace.controllers.addresses import Addresses

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


class EndpointsController(kit.Controller):
    """Keeps the Endpoints of every Service with a selector."""

    name = "endpoint-controller"
    account = "endpoint-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._services = tools.informer(SERVICES)
        self._endpoints = tools.informer(ENDPOINTS)
        self._times = selected.TriggerTimes()
        self._large: dict[str, Addresses] = {}
        self.watch(self._services)
        self.watch(self._endpoints)
        self._selected = selected.Selected(self._services, tools.informer(PODS), self.queue.add)

    async def sync(self, key: str) -> None:
        service, held = self._services.by_key(key), self._endpoints.by_key(key)
        changed = self._selected.take(key)
        if service is None:
            self._times.forget(key)
            self._large.pop(key, None)
            if held is not None and meta.labels(held).get(MANAGED_BY) == MANAGER:
                await self._delete(held)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        found, over, trigger = self._compute(key, service, changed)
        labels = {k: v for k, v in meta.labels(service).items() if k not in (MANAGED_BY, slices.HEADLESS)}
        labels[MANAGED_BY] = MANAGER
        if slices.is_headless(service):
            labels[slices.HEADLESS] = ""
        annotations = dict(meta.annotations(held)) if held is not None else {}
        annotations.pop(OVER_CAPACITY, None)
        if over:
            annotations[OVER_CAPACITY] = "truncated"
        if held is not None:
            same = (held.get("subsets") or []) == found and meta.labels(held) == labels
            if same and meta.annotations(held) == annotations:
                return
        if trigger:
            annotations[slices.TRIGGER_TIME] = trigger
        await self._write(service, held, labels, annotations, found)

    def _compute(self, key: str, service: Object, changed: set[str]) -> tuple[list[Object], bool, str]:
        """What to list, whether something is left out, and when it changed."""
        addresses = self._large.get(key)
        if addresses is not None and addresses.service is service:
            pods = self._selected.of(service, changed)
            for name in changed:
                addresses.put(name, None)
            trigger = self._times.compute(service, pods, changed)
        else:
            addresses, pods = Addresses(service), self._selected.all(service)
            trigger = self._times.compute(service, pods)
        for pod in pods:
            addresses.put(meta.key(pod), pod)
        if len(addresses) > selected.LARGE:
            self._large[key] = addresses
        else:
            self._large.pop(key, None)
        return *addresses.subsets(), trigger

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
