"""EndpointSlices of Services that select Pods."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.recorder import WARNING
from pinnace.controllers import kit, slices
from pinnace.controllers.writes import Writes

MANAGER = "endpointslice-controller.k8s.io"


def facets(pod: Object | None) -> tuple[object, ...]:
    """All that endpoints show of a Pod; a change of anything else does not concern them."""
    if pod is None:
        return ()
    status, spec = pod.get("status") or {}, pod["spec"]
    return (
        meta.uid(pod),
        meta.labels(pod),
        meta.is_deleting(pod),
        status.get("phase") in ("Succeeded", "Failed"),
        status.get("podIPs"),
        status.get("podIP"),
        meta.has_condition(pod, "Ready"),
        spec.get("nodeName"),
    )


def selects(service: Object, pod: Object | None) -> bool:
    selector = service["spec"].get("selector")
    return pod is not None and bool(selector) and selector.items() <= meta.labels(pod).items()


class TriggerTimes:
    """When what a Service's endpoints show last changed, for the annotation that measures programming latency."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}  # service key -> pod uid -> its last change

    def compute(self, service: Object, pods: Iterable[Object]) -> str:
        """The earliest change since the last call; ``""`` if none is known."""
        key = meta.key(service)
        before = self._seen.get(key)
        now: dict[str, str] = {}
        changes: list[str] = [] if before is not None else [str(service["metadata"].get("creationTimestamp") or "")]
        for pod in pods:
            ready = meta.condition(pod, "Ready")
            changed = str((ready or {}).get("lastTransitionTime") or "")
            if not changed:
                continue
            now[meta.uid(pod)] = changed
            if before is not None and changed > before.get(meta.uid(pod), ""):
                changes.append(changed)
        self._seen[key] = now
        return min((change for change in changes if change), default="")

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


class SliceWriter:
    """Carries out a ``slices.Plan`` for one owner, noting its writes."""

    def __init__(self, client: Client, writes: Writes) -> None:
        self._client = client
        self._writes = writes

    async def apply(
        self, key: str, owner: Object, plan: slices.Plan, address_type: str, labels: dict[str, str], trigger: str
    ) -> None:
        for group in plan.create:
            metadata: Object = {
                "generateName": f"{meta.name(owner)}-",
                "namespace": meta.namespace(owner),
                "labels": labels,
                "ownerReferences": [meta.owner_reference(owner)],
            }
            if trigger:
                metadata["annotations"] = {slices.TRIGGER_TIME: trigger}
            made = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": metadata,
                "addressType": address_type,
                "endpoints": group.endpoints,
                "ports": group.ports,
            }
            try:
                self._writes.wrote(key, await self._client.create(ENDPOINT_SLICES, made))
            except ApiError as error:
                if not is_namespace_terminating(error):
                    raise
        for changed in plan.update:
            annotations = {k: v for k, v in meta.annotations(changed).items() if k != slices.TRIGGER_TIME}
            if trigger:
                annotations[slices.TRIGGER_TIME] = trigger
            changed = {**changed, "metadata": {**changed["metadata"], "annotations": annotations}}
            self._writes.wrote(key, await self._client.update(ENDPOINT_SLICES, changed))
        for held in plan.delete:
            try:
                await self._client.delete(ENDPOINT_SLICES, meta.name(held), meta.namespace(held), uid=meta.uid(held))
            except ApiError as error:
                if not is_reason(error, "NotFound"):
                    raise


class EndpointSliceController(kit.Controller):
    """Keeps the slices of every Service with a selector."""

    name = "endpoint-slice-controller"
    account = "endpointslice-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._services = tools.informer(SERVICES)
        self._pods = tools.informer(PODS)
        self._nodes = tools.informer(NODES)
        self._slices = tools.informer(ENDPOINT_SLICES)
        self._slices.add_index("service", _service_of)
        self._writes = Writes(self._slices)
        self._writer = SliceWriter(self.client, self._writes)
        self._times = TriggerTimes()
        self.watch(self._services)
        self._pods.add_handler(self._pod_changed)
        self._slices.add_handler(self._slice_changed)
        self._nodes.add_handler(self._node_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if facets(old) == facets(new):
            return
        pod = new if new is not None else old
        for service in self._services.in_namespace(meta.namespace(pod or {})):
            if selects(service, old) or selects(service, new):
                self.enqueue(service)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for version in (old, new):
            if version is not None and meta.labels(version).get(slices.MANAGED_BY) == MANAGER:
                for service in _service_of(version):
                    self.queue.add(service)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """A node's zone is part of its Pods' endpoints; it rarely changes."""
        before = meta.labels(old).get(slices.ZONE) if old is not None else None
        after = meta.labels(new).get(slices.ZONE) if new is not None else None
        if before != after:
            for service in self._services:
                self.enqueue(service)

    async def sync(self, key: str) -> None:
        service = self._services.by_key(key)
        if service is None:  # its slices go with it, by their owner references
            self._times.forget(key)
            self._writes.forget(key)
            return
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName":
            return
        if not self._writes.seen(key):
            return  # the event that is missing brings the key back
        pods = [pod for pod in self._pods.in_namespace(meta.namespace(service)) if selects(service, pod)]
        trigger = self._times.compute(service, pods)
        names = {str(pod["spec"].get("nodeName")) for pod in pods if pod["spec"].get("nodeName")}
        nodes = {name: node for name in names if (node := self._nodes.get(name)) is not None}
        labels = slices.labels(service, meta.name(service), MANAGER, headless=slices.is_headless(service))
        held = [
            one
            for one in self._slices.indexed("service", key)
            if meta.labels(one).get(slices.MANAGED_BY) == MANAGER and not meta.is_deleting(one)
        ]
        types = slices.address_types(service)
        try:
            for address_type in types:
                existing = [one for one in held if one["addressType"] == address_type]
                plan = slices.plan(slices.groups(service, pods, nodes, address_type), existing, labels)
                await self._writer.apply(key, service, plan, address_type, labels, trigger)
            others = slices.Plan(delete=[one for one in held if one["addressType"] not in types])
            await self._writer.apply(key, service, others, "", labels, trigger)
        except ApiError as error:
            if not is_reason(error, "Conflict", "NotFound"):
                message = f"Error updating Endpoint Slices for Service {key}: {error}"
                self._events.event(service, WARNING, "FailedToUpdateEndpointSlices", message)
            raise


def _service_of(one: Object) -> tuple[str, ...]:
    name = meta.labels(one).get(slices.SERVICE_NAME)
    return (f"{meta.namespace(one)}/{name}",) if name else ()
