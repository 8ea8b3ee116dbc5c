"""EndpointSlices of Services that select Pods."""

from __future__ import annotations

from dataclasses import dataclass, field

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.recorder import WARNING
from pinnace.controllers import kit, selected, slices
from pinnace.controllers.writes import Writes

MANAGER = "endpointslice-controller.k8s.io"


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


@dataclass
class _Followed:
    """A large Service that was written as a whole, and what happened since."""

    service: Object
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)  # names of the slices a Pod is in, by its key
    touched: set[str] = field(default_factory=set)  # slices that someone, maybe this controller, wrote
    displaced: set[str] = field(default_factory=set)  # keys of Pods that are gone from a slice

    def note(self, name: str, old: Object | None, new: Object | None) -> None:
        """A slice changed."""
        before, after = _pods(old), _pods(new)
        for pod in before - after:
            left = tuple(place for place in self.places.pop(pod, ()) if place != name)
            if left:
                self.places[pod] = left
        for pod in after - before:
            self.places[pod] = (*self.places.get(pod, ()), name)
        self.displaced |= before - after
        if new is not None:
            self.touched.add(name)


def _pods(slice: Object | None) -> set[str]:
    return {slices.pod_of(entry) for entry in slice.get("endpoints") or ()} if slice is not None else set()


class EndpointSliceController(kit.Controller):
    """Keeps the slices of every Service with a selector."""

    name = "endpoint-slice-controller"
    account = "endpointslice-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._services = tools.informer(SERVICES)
        self._nodes = tools.informer(NODES)
        self._slices = tools.informer(ENDPOINT_SLICES)
        self._slices.add_index("service", _service_of)
        self._writes = Writes(self._slices)
        self._writer = SliceWriter(self.client, self._writes)
        self._times = selected.TriggerTimes()
        self._large: dict[str, _Followed] = {}
        self.watch(self._services)
        self._selected = selected.Selected(self._services, tools.informer(PODS), self.queue.add)
        self._slices.add_handler(self._slice_changed)
        self._nodes.add_handler(self._node_changed)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for version in (old, new):
            if version is not None and meta.labels(version).get(slices.MANAGED_BY) == MANAGER:
                for service in _service_of(version):
                    self.queue.add(service)
        followed = {
            key: self._large[key] for one in (old, new) if one for key in _service_of(one) if key in self._large
        }
        for key, state in followed.items():
            before, after = (one if one is not None and _is_ours(one, key) else None for one in (old, new))
            state.note(meta.name(new or old or {}), before, after)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """A node's zone is part of its Pods' endpoints; it rarely changes."""
        before = meta.labels(old).get(slices.ZONE) if old is not None else None
        after = meta.labels(new).get(slices.ZONE) if new is not None else None
        if before != after:
            self._large.clear()
            for service in self._services:
                self.enqueue(service)

    async def sync(self, key: str) -> None:
        service = self._services.by_key(key)
        if service is None:  # its slices go with it, by their owner references
            self._selected.take(key)
            self._large.pop(key, None)
            self._times.forget(key)
            self._writes.forget(key)
            return
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName":
            self._selected.take(key)
            return
        if not self._writes.seen(key):
            return  # the event that is missing brings the key back
        changed = self._selected.take(key)
        state = self._large.pop(key, None)
        try:
            if state is not None and state.service is service:
                self._large[key] = state
                await self._sync_changes(key, state, changed)
                if len(state.places) <= selected.LARGE:
                    self._large.pop(key, None)
            else:
                await self._sync_whole(key, service)
        except BaseException as error:
            self._large.pop(key, None)  # next time as a whole
            if isinstance(error, ApiError) and not is_reason(error, "Conflict", "NotFound"):
                message = f"Error updating Endpoint Slices for Service {key}: {error}"
                self._events.event(service, WARNING, "FailedToUpdateEndpointSlices", message)
            raise

    async def _sync_whole(self, key: str, service: Object) -> None:
        held, pods = self._held(key), self._selected.all(service)
        trigger = self._times.compute(service, pods)
        nodes, labels = self._nodes_of(pods), _labels(service)
        types = slices.address_types(service)
        for address_type in types:
            existing = [one for one in held.values() if one["addressType"] == address_type]
            plan = slices.plan(slices.groups(service, pods, nodes, address_type), existing, labels)
            await self._writer.apply(key, service, plan, address_type, labels, trigger)
        others = slices.Plan(delete=[one for one in held.values() if one["addressType"] not in types])
        await self._writer.apply(key, service, others, "", labels, trigger)
        if len(pods) > selected.LARGE:
            state = self._large[key] = _Followed(service)
            for name, one in self._held(key).items():
                state.note(name, None, one)
                if held.get(name) is one:
                    state.touched.remove(name)

    async def _sync_changes(self, key: str, state: _Followed, changed: set[str]) -> None:
        """What differs since the Service was written as a whole: it costs as much as changed, and a look at the slices
        that were written meanwhile."""
        service, held = state.service, self._held(key)
        touched, changed = state.touched & held.keys(), changed | state.displaced
        state.touched, state.displaced = set(), set()
        for name in touched:
            changed |= _pods(held[name])
        affected = touched.union(*(state.places.get(pod, ()) for pod in changed)) & held.keys()
        pods = self._selected.of(service, changed)
        trigger = self._times.compute(service, pods, changed)
        nodes, labels = self._nodes_of(pods), _labels(service)
        for address_type in slices.address_types(service):
            of_type = {name: one for name, one in held.items() if one["addressType"] == address_type}
            plan = slices.plan_part(
                slices.groups(service, pods, nodes, address_type),
                [one for name, one in of_type.items() if name in affected],
                [one for name, one in of_type.items() if name not in affected],
                changed,
                labels,
            )
            await self._writer.apply(key, service, plan, address_type, labels, trigger)

    def _held(self, key: str) -> dict[str, Object]:
        """The slices that are this controller's to write, by name."""
        found = self._slices.indexed("service", key)
        return {meta.name(one): one for one in found if _is_ours(one, key)}

    def _nodes_of(self, pods: list[Object]) -> dict[str, Object]:
        names = {str(pod["spec"].get("nodeName")) for pod in pods if pod["spec"].get("nodeName")}
        return {name: node for name in names if (node := self._nodes.get(name)) is not None}


def _labels(service: Object) -> dict[str, str]:
    return slices.labels(service, meta.name(service), MANAGER, headless=slices.is_headless(service))


def _is_ours(slice: Object, service: str) -> bool:
    managed = meta.labels(slice).get(slices.MANAGED_BY) == MANAGER
    return managed and service in _service_of(slice) and not meta.is_deleting(slice)


def _service_of(one: Object) -> tuple[str, ...]:
    name = meta.labels(one).get(slices.SERVICE_NAME)
    return (f"{meta.namespace(one)}/{name}",) if name else ()
