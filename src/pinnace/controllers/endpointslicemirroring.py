"""EndpointSlices for Endpoints that someone keeps by hand, for Services without a selector."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from pinnace.api.types import Object
from pinnace.controllers import kit, slices
from pinnace.controllers.endpointslice import SliceWriter
from pinnace.controllers.writes import Writes

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MAX_PER_SUBSET = 1000


def groups(endpoints: Object, address_type: str) -> list[slices.Group]:
    """The addresses of one family as endpoints, by ports. Pure."""
    found: dict[str, slices.Group] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [
            {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
            | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})
            for port in subset.get("ports") or ()
        ]
        group = found.setdefault(repr(ports), slices.Group(ports, []))
        listed = [(address, True) for address in subset.get("addresses") or ()]
        listed += [(address, False) for address in subset.get("notReadyAddresses") or ()]
        for address, ready in listed[:MAX_PER_SUBSET]:
            if (":" in address["ip"]) == (address_type == "IPv6"):
                entry: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
                entry |= {name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)}
                group.endpoints.append(entry)
    return [group for group in found.values() if group.endpoints]


class EndpointSliceMirroringController(kit.Controller):
    """Keeps the slices of Endpoints whose Service has no selector."""

    name = "endpoint-slice-mirroring-controller"
    account = "endpointslicemirroring-controller"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._endpoints = tools.informer(ENDPOINTS)
        self._services = tools.informer(SERVICES)
        self._slices = tools.informer(ENDPOINT_SLICES)
        self._slices.add_index("mirrored", _mirrored)
        self._writes = Writes(self._slices)
        self._writer = SliceWriter(self.client, self._writes)
        self.watch(self._endpoints)
        self.watch(self._services)
        self._slices.add_handler(self._slice_changed)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for version in (old, new):
            for key in _mirrored(version) if version is not None else ():
                self.queue.add(key)

    async def sync(self, key: str) -> None:
        endpoints, service = self._endpoints.by_key(key), self._services.by_key(key)
        if endpoints is None:
            self._writes.forget(key)
            return  # its slices go with it, by their owner references
        if not self._writes.seen(key):
            return
        held = [one for one in self._slices.indexed("mirrored", key) if not meta.is_deleting(one)]
        mirrored = (
            service is not None
            and not service["spec"].get("selector")
            and meta.labels(endpoints).get(SKIP) != "true"
            and LEADER not in meta.annotations(endpoints)
        )
        labels = slices.labels(endpoints, meta.name(endpoints), MANAGER, headless=False)
        trigger = meta.annotations(endpoints).get(slices.TRIGGER_TIME, "")
        for address_type in ("IPv4", "IPv6"):
            existing = [one for one in held if one["addressType"] == address_type]
            wanted = groups(endpoints, address_type) if mirrored else []
            plan = slices.plan(wanted, existing, labels) if wanted else slices.Plan(delete=existing)
            await self._writer.apply(key, endpoints, plan, address_type, labels, trigger)


def _mirrored(one: Object) -> tuple[str, ...]:
    name = meta.labels(one).get(slices.SERVICE_NAME)
    return (f"{meta.namespace(one)}/{name}",) if name and meta.labels(one).get(slices.MANAGED_BY) == MANAGER else ()
